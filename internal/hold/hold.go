// Package hold is for a lock without a command. A process in the background, the keeper,
// holds it for another process. The package has the start of the keeper, the socket on
// which it is asked to release, and the watch of the other process. It knows nothing of
// brokers.
package hold

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Variable names the socket of a keeper for the commands of a script.
const Variable = "AMQPRUN_HOLD"

// answerTime bounds a release, which takes seven seconds at most. A keeper that stops a
// process takes the grace before that.
const answerTime = 20 * time.Second

// locksTime is how long a keeper that is frozen delays those who ask for its locks. One
// that lives answers at once, which can take a second on a busy machine.
const locksTime = 5 * time.Second

// Errors of Release, and of the dialing in it.
var (
	ErrNone    = errors.New("no such hold")                  // released, or its process has ended
	ErrKilled  = errors.New("the process that held is gone") // it has not ended by itself
	ErrForeign = errors.New("the hold of another user")
)

// Release asks the keeper with that socket to release, and waits until it has. It removes
// the files of a killed keeper, and names its lock in the answer.
func Release(socket string) (Answer, error) {
	var a Answer
	err := ask(socket, askRelease, answerTime, &a)
	if errors.Is(err, ErrKilled) {
		dir := filepath.Dir(socket)
		a.Lost = lockOf(dir) + " was lost: the process that held it is gone"
		discard(dir)
	}
	return a, err
}

// Locks are the keys of the locks that the keeper with that socket holds. There are none
// if there is no such keeper, or it has lost them.
func Locks(socket string) (keys []string) {
	if socket != "" {
		_ = ask(socket, askLocks, locksTime, &keys)
	}
	return keys
}

// errHungUp says that the keeper has ended the connection without an answer.
var errHungUp = errors.New("it has ended the connection")

// ask asks again where the keeper hangs up. That may be because we were too slow to ask.
// The next connection shows whether it lives.
func ask(socket, request string, within time.Duration, answer any) error {
	end := time.Now().Add(within)
	for {
		err := askOnce(socket, request, end, answer)
		if !errors.Is(err, errHungUp) || time.Now().After(end) {
			return err
		}
		<-time.After(retryPause)
	}
}

func askOnce(socket, request string, end time.Time, answer any) error {
	conn, err := (&net.Dialer{Deadline: end}).Dial("unix", socket)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return ErrNone
	case errors.Is(err, syscall.ECONNREFUSED):
		return ErrKilled
	case errors.Is(err, os.ErrPermission):
		return ErrForeign
	case err != nil:
		return err
	}
	defer conn.Close()
	if err = conn.SetDeadline(end); err == nil {
		_, err = conn.Write([]byte(request + "\n"))
	}
	if err == nil {
		err = json.NewDecoder(conn).Decode(answer)
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if _, gone := os.Lstat(socket); errors.Is(gone, os.ErrNotExist) { // it was just ending
		return ErrNone
	}
	return errHungUp
}
