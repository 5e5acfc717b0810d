package history

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConn(t testing.TB) *wire.Conn { return dialed(t, nil) }

// dialed is a publish connection that dial has made.
func dialed(
	t testing.TB, dial func(ctx context.Context, network, addr string) (net.Conn, error),
) *wire.Conn {
	t.Helper()
	b, err := wire.Broker{URLs: []string{testbroker.URL(t)}, Dial: dial}.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := b.Open(context.Background(), wire.ForPublish)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// testLog is a log that no other test has.
func testLog(t testing.TB) *Log {
	t.Helper()
	l := New(testConn(t), wire.Ref{Kind: wire.Mutex, Name: testbroker.Name()})
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
	other := l.on(testConn(t))
	other.now = func() time.Time { return time.Now().Add(wrong) }
	return other
}

// deadline ends what hangs.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// uncut is for a grant of a run that keeps its lock.
func uncut() error { return nil }

// grant takes a token as a run with this ID.
func grant(ctx context.Context, l *Log, id string) (Record, error) {
	tail, err := l.Open(ctx)
	if err != nil {
		return Record{}, err
	}
	defer tail.Close()
	return tail.Grant(ctx, Record{Kind: wire.Mutex, ID: id}, uncut)
}

func mustGrant(t testing.TB, l *Log, id string) Record {
	t.Helper()
	granted, err := grant(deadline(t), l, id)
	if err != nil {
		t.Fatal(err)
	}
	return granted
}

func mustAppend(t testing.TB, l *Log, r Record) {
	t.Helper()
	if err := l.Append(deadline(t), r); err != nil {
		t.Fatal(err)
	}
}

// end is the end of a run.
func end(granted Record) Record {
	status := 0
	return Record{
		Type: TypeEnd, Kind: wire.Mutex, ID: granted.ID, Token: granted.Token, Read: granted.Read,
		At: time.Now(), Result: "ended", Status: &status,
	}
}
