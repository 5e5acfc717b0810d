package history

import (
	"context"
	"crypto/rand"
	"os"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testURL is the broker of the tests, or the reason why there is none.
func testURL(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"AMQPRUN_URL", "AMQP_URL"} {
		if url := os.Getenv(name); url != "" {
			return url
		}
	}
	t.Skip("no broker: set AMQPRUN_URL (scripts/broker starts one)")
	return ""
}

func testConn(t testing.TB) *Conn {
	t.Helper()
	connection, err := amqp.Dial(testURL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return &Conn{Connection: connection, Blocked: func() bool { return false }}
}

// testLog is a log that no other test has.
func testLog(t testing.TB) *Log {
	t.Helper()
	l := New(testConn(t), "test-"+rand.Text())
	t.Cleanup(func() { deleteQueue(t, l) })
	return l
}

func deleteQueue(t testing.TB, l *Log) {
	t.Helper()
	channel, err := l.conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = channel.Close() }()
	if _, err := channel.QueueDelete(l.queue, false, false, false); err != nil {
		t.Fatal(err)
	}
}

// at is the same log, by a connection of its own and with a clock that is wrong.
func (l *Log) at(t testing.TB, wrong time.Duration) *Log {
	return &Log{
		conn: testConn(t), queue: l.queue,
		now: func() time.Time { return time.Now().Add(wrong) },
	}
}

// deadline ends what hangs.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// grant takes a token as a run with this ID.
func grant(ctx context.Context, l *Log, id string) (int64, Mark, error) {
	tail, err := l.Open(ctx)
	if err != nil {
		return 0, Mark{}, err
	}
	defer tail.Close()
	return tail.Grant(ctx, Record{ID: id, At: time.Now()})
}

func mustGrant(t testing.TB, l *Log, id string) (int64, Mark) {
	t.Helper()
	token, read, err := grant(deadline(t), l, id)
	if err != nil {
		t.Fatal(err)
	}
	return token, read
}

func mustAppend(t testing.TB, l *Log, r Record) {
	t.Helper()
	if err := l.Append(deadline(t), r); err != nil {
		t.Fatal(err)
	}
}

// end is the end of the run with this ID.
func end(id string, token int64, read *Mark) Record {
	status := 0
	return Record{
		Type: TypeEnd, ID: id, Token: token, Read: read, At: time.Now(), Result: "ended", Status: &status,
	}
}
