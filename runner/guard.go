package runner

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"
)

// guardName is what ps and pkill see. `pkill amqprun` does not match it.
const guardName = "lock-guard"

// guardEnvironment is the whole environment of a guard. Every amqprun recognises every
// guard by it. Without AMQPRUN_ID a guard belongs to no tree.
var guardEnvironment = []string{"AMQPRUN_GUARD=1", "GOMAXPROCS=1", "GOGC=20"}

// freezeTime is how long it may take to stop the tree by SIGSTOP, at least. That needs
// milliseconds unless the machine is short of processors.
const freezeTime = time.Second

// orders is all that a guard knows. Every message carries all of it, so the newest
// message is all that a guard, also one that replaces another, has to read.
type orders struct {
	Amqprun int32  // its descendants belong to the tree while it lives
	Group   int32  // 0: there is nothing to guard
	Born    uint64 // when the leader of the group was started, see proc

	Signal    int32         // Sent before SIGKILL.
	KillAfter time.Duration // From Signal to SIGKILL.
	StopAt    time.Duration // When to send Signal, on sys.Boottime. 0: there is no lease.
	KillAt    time.Duration // When to send SIGKILL, likewise.
	Stopping  bool          // Amqprun stops the tree, so only KillAt is left to enforce.
	Pauses    bool          // Amqprun pauses the tree instead of stopping it.
	Paused    bool          // It has. No deadline counts, and without amqprun nobody continues it.
}

const maxMessage = 4096 // an AMQPRUN_ID is far shorter

func (o orders) encode(id string) []byte {
	b, _ := binary.Append(nil, binary.LittleEndian, o) // fails only for types of no fixed size
	return append(b, id...)
}

func decodeOrders(message []byte) (o orders, id string, err error) {
	r := bytes.NewReader(message)
	if err := binary.Read(r, binary.LittleEndian, &o); err != nil {
		return orders{}, "", errors.New("not a message of this amqprun")
	}
	return o, string(message[len(message)-r.Len():]), nil
}

// action is what a guard has to do.
type action int

const (
	rest action = iota
	stop        // send the stop signal
	kill        // send SIGKILL until the tree is dead
)

// stopSlack is how much later than amqprun the guard sends the stop signal, but at most a
// quarter of the grace. An amqprun that is alive sends it itself, also on a busy machine,
// and a command should not get it twice.
const stopSlack = 500 * time.Millisecond

// watch decides what the guard does, and when. It knows no process and no clock.
type watch struct {
	orders
	abandoned   bool          // amqprun is dead: its end of the socket is closed
	abandonedAt time.Duration // when the guard saw that

	stoppedFor time.Duration // the deadline for which it sent the stop signal
	stopped    bool          // it sent that because amqprun is dead
	killedFor  time.Duration // the deadline for which it killed
}

// due returns what to do at now, and when to ask again (0: when the orders change).
func (w *watch) due(now time.Duration) (action, time.Duration) {
	switch {
	case w.abandoned:
		return w.dueAbandoned(now)
	case w.Paused:
		return rest, 0
	case w.KillAt != 0 && w.KillAt != w.killedFor && now >= w.KillAt:
		return kill, 0
	case w.KillAt == 0 || w.KillAt == w.killedFor:
		return rest, 0
	}
	stopAt := w.StopAt + min(stopSlack, (w.KillAt-w.StopAt)/4)
	switch {
	case w.StopAt == 0 || w.Stopping || w.Pauses || w.StopAt == w.stoppedFor:
		return rest, w.KillAt
	case now >= stopAt:
		return stop, w.KillAt
	default:
		return rest, stopAt
	}
}

func (w *watch) dueAbandoned(now time.Duration) (action, time.Duration) {
	killAt := w.abandonedAt + w.KillAfter
	if w.Paused {
		killAt = w.abandonedAt
	}
	if w.KillAt != 0 {
		killAt = min(killAt, w.KillAt)
	}
	switch {
	case now >= killAt:
		return kill, 0
	case w.stopped || w.Stopping:
		return rest, killAt
	default:
		return stop, killAt
	}
}

// disconnected shortens the deadlines when the lock connection has ended: the lock is
// free then. An amqprun that is not stopped sees the end too, and its next orders
// replace these.
func (w *watch) disconnected(now time.Duration) {
	if w.Group == 0 || w.Stopping || w.Paused || w.abandoned {
		return
	}
	if w.StopAt == 0 || now < w.StopAt {
		w.StopAt = now
	}
	killAfter := w.KillAfter
	if w.Pauses {
		killAfter = max(killAfter, freezeTime)
	}
	if killAt := now + killAfter; w.KillAt == 0 || killAt < w.KillAt {
		w.KillAt = killAt
	}
}

// did records that the guard has done a.
func (w *watch) did(a action) {
	switch {
	case a == stop && w.abandoned:
		w.stopped = true
	case a == stop:
		w.stoppedFor = w.StopAt
	case a == kill:
		w.killedFor = w.KillAt
	}
}
