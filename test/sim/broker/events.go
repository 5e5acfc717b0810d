package broker

import "time"

// Kind is that of an Event.
type Kind string

// The kinds of events.
const (
	Granted   Kind = "granted"   // an exclusive queue was declared
	Freed     Kind = "freed"     // it is gone
	Answer    Kind = "answer"    // its owner has heard that it has it
	Majority  Kind = "majority"  // basic.get on a quorum queue was answered well
	Joined    Kind = "joined"    // a consumer
	Left      Kind = "left"      // a consumer
	Published Kind = "published" // a connection has published for the first time
	Refused   Kind = "refused"   // a whole connection, with the reason in Text
)

// Ending is how a connection has ended.
type Ending string

// The endings.
const (
	ClientClosed Ending = "closed by the client"
	ClientGone   Ending = "the socket was closed"
	NetworkReset Ending = "reset"
	BrokerClosed Ending = "closed by the broker"
	BrokerKilled Ending = "the broker was killed"
	ClientSilent Ending = "silent"
)

// Reason is why a queue is gone.
type Reason string

// The reasons.
const (
	Deleted         Reason = "deleted"               // by a client that may
	EndOfConnection Reason = "end of its connection" // the owner's
	Expired         Reason = "expired"
	Vanished        Reason = "vanished"  // the broker has lost it, without a word
	ByName          Reason = "by name"   // another's claim that died has deleted it
	SplitOff        Reason = "split off" // its owner is on the other side of a split
)

// Event is what the broker has done with a queue.
type Event struct {
	Kind   Kind
	At     time.Time
	Queue  string
	Socket *Socket // of the client
	Why    Reason  // it is gone
	How    Ending  // its connection has ended, if it has
	Text   string
}
