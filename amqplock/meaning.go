package amqplock

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// This file is the one place that says what an answer of the broker means.

// verdict is what the answer to a check proves.
type verdict int

const (
	unknown verdict = iota // nothing: the lease runs
	held                   // the lock is ours
	lost                   // it is not
)

// code returns the AMQP reply code of err, or 0.
func code(err error) int {
	var e *amqp.Error
	if errors.As(err, &e) && e.Server {
		return e.Code
	}
	return 0
}

// ownership judges the passive declare of the own exclusive queue by its own connection.
func ownership(err error) verdict {
	switch {
	case err == nil:
		return held
	case code(err) == amqp.NotFound, code(err) == amqp.ResourceLocked: // gone; somebody else's
		return lost
	}
	return unknown // 403 after a change of permissions, a dead connection, ...
}

// slotStands judges basic.get on the slot's own queue. Of the texts of a 404 only "no queue" says that the slot was removed; "down or
// inaccessible", "crashed", "timeout" say that the broker cannot tell.
func slotStands(err error) verdict {
	switch {
	case err == nil:
		return held
	case absent(err):
		return lost
	}
	return unknown
}

// majority judges basic.get on the witness. No error answer proves that the lock is lost: a witness that does not exist is declared again.
func majority(err error) verdict {
	if err == nil {
		return held
	}
	return unknown
}

// concerns reports whether an answer of the broker is about queue: its texts name the queue in quotes.
func concerns(err error, queue string) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Server && strings.Contains(e.Reason, "'"+queue+"'")
}

// absent tells a queue that does not exist from one that cannot be reached.
func absent(err error) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Server && e.Code == amqp.NotFound && strings.Contains(e.Reason, "no queue")
}

// unreachable explains a failure to open the TCP connection.
func unreachable(ctx context.Context, broker string, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.Cause(ctx) // the caller's own reason to stop, not the broker's fault
	}
	e := &Error{
		Kind: ErrUnreachable,
		Text: fmt.Sprintf("cannot reach the broker %s: %v", broker, err),
		Hint: "is RabbitMQ running there, and is the URL right?",
		Err:  err,
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		e.Hint = "the name of the host is not known here: is it spelled right?"
	}
	return e
}

// tlsVerdicts are the failures of a TLS handshake that would come again, by what their text holds.
var tlsVerdicts = []struct{ holds, hint string }{
	{"tls: certificate required", "the broker wants a client certificate: --cert and --key"},
	{"tls: handshake failure", "the broker may want a client certificate (--cert and --key), or another kind of it"},
	{"tls: expired certificate", "the client certificate has expired: renew it"},
	{"tls: unknown certificate authority", "the broker does not trust who signed the client certificate: add that to its ssl_options.cacertfile"},
	{"tls: bad certificate", "the broker does not accept the client certificate: its log says why"},
	{"tls: protocol version not supported", "amqprun speaks TLS 1.2 and 1.3"},
	{"tls: server selected unsupported protocol version", "amqprun speaks TLS 1.2 and 1.3"},
}

// tlsError explains a failure of TLS: what is wrong with a certificate, and what may pass, such as a broker that is just being stopped.
func tlsError(ctx context.Context, broker string, err error) error {
	if ctx.Err() != nil {
		return unreachable(ctx, broker, errors.New("no answer in time to the TLS handshake"))
	}
	e := &Error{Kind: ErrUnreachable, Text: fmt.Sprintf("no secure connection to the broker %s: %s", broker, oneLine(err)), Err: err}
	var record tls.RecordHeaderError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &record):
		e.Hint = "the port does not speak TLS: amqps is usually 5671, amqp 5672"
	case errors.As(err, &host):
		e.Hint = "connect by a name that is in the certificate, or give that as server_name_indication in the URL"
	case errors.As(err, &authority):
		e.Hint = "name the CA file that signed the broker's certificate with --cacert"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.Hint = "renew the broker's certificate, or set the clock of this machine"
	case errors.As(err, &invalid):
		e.Hint = "the broker needs another certificate"
	}
	for _, verdict := range tlsVerdicts {
		if strings.Contains(err.Error(), verdict.holds) {
			e.Hint = verdict.hint
		}
	}
	if e.final = e.Hint != ""; !e.final {
		e.Hint = "the broker may be starting or stopping: see its log"
	}
	return e
}

// handshakeError explains a failure between TCP and the open connection. A connection that ends without a word, which amqp091-go takes for a refusal
// (ErrCredentials, ErrVhost), is none: see outspoken.
func handshakeError(ctx context.Context, at *node, err error) error {
	broker := at.label
	var reply *amqp.Error
	errors.As(err, &reply)
	loginRefused := reply != nil && reply.Server && reply.Code == amqp.AccessRefused
	switch {
	case ctx.Err() != nil:
		return unreachable(ctx, broker, errors.New("no answer in time while logging in"))
	case loginRefused && at.external():
		return &Error{
			Kind: ErrAccess,
			Text: fmt.Sprintf("the broker %s refused the login by certificate", broker),
			Hint: "RabbitMQ takes the subject of the certificate for the name of the user, or a part of it: see ssl_cert_login_from",
		}
	case loginRefused:
		return &Error{
			Kind: ErrAccess,
			Text: fmt.Sprintf("the broker %s refused the login of user %q", broker, at.uri.Username),
			Hint: "check user and password; percent-encode special characters in a URL; guest may only log in from the broker's own machine",
		}
	case errors.Is(err, amqp.ErrSASL):
		e := &Error{Kind: ErrAccess, Text: fmt.Sprintf("the broker %s does not offer the login method %s", broker, strings.Join(at.mechanisms, ", "))}
		if at.external() {
			e.Hint = "enable its plugin rabbitmq_auth_mechanism_ssl, or name a user in the URL"
		}
		return e
	case code(err) == amqp.NotAllowed && strings.Contains(reply.Reason, "not found"):
		return &Error{
			Kind: ErrNotFound,
			Text: fmt.Sprintf("the broker %s has no virtual host %q", broker, at.uri.Vhost),
			Hint: "create it (rabbitmqctl add_vhost), or correct the part of the URL after the port",
		}
	case code(err) == amqp.NotAllowed && strings.Contains(reply.Reason, "access to vhost") && !strings.Contains(reply.Reason, "connection limit"):
		return &Error{
			Kind: ErrAccess,
			Text: fmt.Sprintf("the broker %s does not let %s into virtual host %q", broker, at.who(), at.uri.Vhost),
			Hint: "rabbitmqctl set_permissions -p VHOST USER CONFIGURE WRITE READ",
		}
	case reply != nil && strings.Contains(reply.Reason, "tls: "): // in TLS 1.3 the broker's verdict on us comes with the first read
		return tlsError(ctx, broker, err)
	case reply != nil && !reply.Server && strings.Contains(reply.Reason, "frame"): // what came was none, or none of AMQP
		return &Error{
			Kind: ErrUnreachable,
			Text: fmt.Sprintf("cannot reach the broker %s: who listens there does not speak AMQP", broker),
			Hint: "the port may be another server's, or want TLS (amqps:// and usually 5671)",
			Err:  err, final: true,
		}
	case reply != nil && reply.Server: // a connection limit, a virtual host that is down, a node in maintenance
		return &Error{Kind: ErrUnreachable, Text: fmt.Sprintf("the broker %s turned the connection away: %s", broker, oneLine(err)), Err: err}
	case errors.Is(err, amqp.ErrCredentials), errors.Is(err, amqp.ErrVhost), reply != nil && strings.Contains(reply.Reason, "EOF"):
		return &Error{
			Kind: ErrUnreachable,
			Text: fmt.Sprintf("cannot reach the broker %s: it closed the connection before the login was done", broker),
			Hint: "it may be starting or stopping: see its log; if the port wants TLS (usually 5671) write amqps://",
			Err:  err,
		}
	}
	return unreachable(ctx, broker, err)
}

// refused explains why the broker did not do what was asked. It leaves nil, explained errors and the caller's own end of ctx as they are.
func refused(broker, doing string, err error) error {
	var known *Error
	text := fmt.Sprintf("cannot %s on %s", doing, broker)
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, errBusy), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{
			Kind: ErrUnreachable,
			Text: text + ": no answer in time",
			Hint: "the broker is overloaded, cut off from the majority of its cluster, or has a queue that does not come up: " +
				"see rabbitmqctl list_queues name state",
			Err: err,
		}
	case code(err) == amqp.AccessRefused:
		return &Error{
			Kind: ErrAccess,
			Text: fmt.Sprintf("%s: %v", text, err),
			Hint: "the user lacks a permission: see rabbitmqctl list_user_permissions, and the permissions named in the README",
			Err:  err,
		}
	}
	return &Error{Kind: ErrUnreachable, Text: fmt.Sprintf("%s: %s", text, oneLine(err)), Err: err}
}

// oneLine is the text of an error; what RabbitMQ prints of its own state when it fails goes over several lines.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// connectionLost gives the reason of a connection that ended by itself.
func connectionLost(why *amqp.Error) error {
	switch {
	case why == nil:
		return errors.New("the connection was closed")
	case why.Server:
		return fmt.Errorf("the broker closed the connection: %s (%d)", strings.Join(strings.Fields(why.Reason), " "), why.Code)
	}
	return fmt.Errorf("the connection broke: %s", why.Reason)
}
