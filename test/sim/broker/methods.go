package broker

// method is the class and the number of a method.
type method [2]uint16

const classBasic = 60

// The methods that either side sends.
var (
	connectionStart     = method{10, 10}
	connectionStartOk   = method{10, 11}
	connectionTune      = method{10, 30}
	connectionTuneOk    = method{10, 31}
	connectionOpen      = method{10, 40}
	connectionOpenOk    = method{10, 41}
	connectionClose     = method{10, 50}
	connectionCloseOk   = method{10, 51}
	connectionBlocked   = method{10, 60}
	connectionUnblocked = method{10, 61}
	channelOpen         = method{20, 10}
	channelOpenOk       = method{20, 11}
	channelClose        = method{20, 40}
	channelCloseOk      = method{20, 41}
	exchangeDeclare     = method{40, 10}
	exchangeDeclareOk   = method{40, 11}
	exchangeDelete      = method{40, 20}
	exchangeDeleteOk    = method{40, 21}
	queueDeclare        = method{50, 10}
	queueDeclareOk      = method{50, 11}
	queueBind           = method{50, 20}
	queueBindOk         = method{50, 21}
	queueDelete         = method{50, 40}
	queueDeleteOk       = method{50, 41}
	basicQos            = method{60, 10}
	basicQosOk          = method{60, 11}
	basicConsume        = method{60, 20}
	basicConsumeOk      = method{60, 21}
	basicCancel         = method{60, 30}
	basicCancelOk       = method{60, 31}
	basicPublish        = method{60, 40}
	basicReturn         = method{60, 50}
	basicDeliver        = method{60, 60}
	basicGet            = method{60, 70}
	basicGetOk          = method{60, 71}
	basicGetEmpty       = method{60, 72}
	basicAck            = method{60, 80}
	basicReject         = method{60, 90}
	basicNack           = method{60, 120}
	confirmSelect       = method{85, 10}
	confirmSelectOk     = method{85, 11}
)

// names are as in the reference, of what clients send on channels.
var names = map[method]string{
	channelOpen: "channel.open", channelClose: "channel.close", channelCloseOk: "channel.close-ok",
	exchangeDeclare: "exchange.declare", exchangeDelete: "exchange.delete",
	queueDeclare: "queue.declare", queueBind: "queue.bind", queueDelete: "queue.delete",
	basicQos: "basic.qos", basicConsume: "basic.consume", basicCancel: "basic.cancel",
	basicPublish: "basic.publish", basicGet: "basic.get", basicAck: "basic.ack",
	basicReject: "basic.reject", basicNack: "basic.nack", confirmSelect: "confirm.select",
}

// The reply codes.
const (
	codeNoRoute            = 312
	codeConnectionForced   = 320
	codeAccessRefused      = 403
	codeNotFound           = 404
	codeResourceLocked     = 405
	codePreconditionFailed = 406
	codeChannelError       = 504
	codeNotAllowed         = 530
	codeNotImplemented     = 540
	codeInternalError      = 541
)
