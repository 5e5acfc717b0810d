package broker

import (
	"math/rand/v2"
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
