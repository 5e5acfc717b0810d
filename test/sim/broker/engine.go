package broker

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// Release is whose behavior the broker shows.
type Release string

// The releases that differ in what amqprun can see of them.
const (
	V310 Release = "3.10.8"
	V40  Release = "4.0.5"
	V43  Release = "4.3.6"
)

// Options are of a broker. The zero value is a RabbitMQ 4.0 in good health, which takes
// no time.
type Options struct {
	Release Release
	// Heartbeat is what connection.tune suggests, in whole seconds. 0 means 60 s.
	Heartbeat time.Duration
	// Channels is how many a connection may have. 0 means 2047.
	Channels uint16
	// Latency is that of the network; nil means none.
	Latency Latency
	// Cost is how long a request keeps its channel busy before it has an effect. nil means
	// no time. The method is named as in the reference, "queue.declare".
	Cost func(dice *rand.Rand, method, queue string) time.Duration
	// Seed is where all that is drawn comes from.
	Seed uint64
	// Observe is called with each thing that happens to an exclusive queue and to a place
	// in a queue, in the loop of the broker. It must not block. nil means nobody.
	Observe func(Event)
}

// engine is what all parts of a broker work with.
type engine struct {
	options Options
	loop    *loop
	names   int      // of queues and consumers that the broker has named
	alarm   string   // "" is none
	parked  []func() // go on with requests that wait for a majority

	quorumDelay time.Duration // see Broker.QuorumDelay
	chance      float64       // see Broker.DeleteByName
	late        time.Duration
}

func newEngine(options Options) *engine {
	if options.Release == "" {
		options.Release = V40
	}
	if options.Heartbeat == 0 {
		options.Heartbeat = time.Minute
	}
	if options.Channels == 0 {
		options.Channels = 2047
	}
	if options.Latency == nil {
		options.Latency = func(*rand.Rand) time.Duration { return 0 }
	}
	if options.Cost == nil {
		options.Cost = func(*rand.Rand, string, string) time.Duration { return 0 }
	}
	if options.Observe == nil {
		options.Observe = func(Event) {}
	}
	return &engine{options: options, loop: newLoop()}
}

// after runs f in the loop, some time from now.
func (e *engine) after(d time.Duration, f func()) { e.loop.at(time.Now().Add(d), f) }

// name invents a name that no client can have chosen.
func (e *engine) name(prefix string) string {
	e.names++
	return prefix + strconv.Itoa(e.names)
}

// observe reports to the test what happens now.
func (e *engine) observe(event Event) {
	event.At = time.Now()
	e.options.Observe(event)
}
