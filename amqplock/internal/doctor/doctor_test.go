package doctor

import (
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"3.10.8": Warning, "4.0.5": Warning, "4.2.9": Warning, "4.3.0": Warning, "4.3.2": Warning,
		"4.3.3": OK, "4.3.6": OK, "4.4": OK, "5.0.0-beta.1": OK, "<nil>": Warning, "": Warning,
	} {
		if got := version(text); got.Level != want {
			t.Errorf("%q: %+v, want %s", text, got, want)
		}
	}
}

// TestGrant: the name is quoted for a pattern, and the line for a shell.
func TestGrant(t *testing.T) {
	t.Parallel()
	conn := &wire.Conn{Connection: &amqp.Connection{Config: amqp.Config{Vhost: "a b"}}, User: "it's"}
	e := &examination{link: &wire.Link{Pair: wire.Pair{Lock: conn}}}
	e.ref = wire.Ref{Kind: wire.Semaphore, Name: "a.b"}
	const others = `amqprun\.(who.*|evict|clock\..*)`
	want := `rabbitmqctl set_permissions -p 'a b' 'it'"'"'s' ` +
		`'^(a\.b-(B-[0-9]+|[WHL])|` + others + `)$' '^(amq\.default|amqprun\.who.*)$' ` +
		`'^(a\.b-(A-[0-9]+|[WHL])|` + others + `)$'  # instead of what the user has now`
	if got := e.grant(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	e.ref = wire.Ref{} // the user may need what nobody knows here
	if got := e.grant(); strings.Contains(got, "set_permissions") {
		t.Errorf("without a lock it is %s", got)
	}
}

// TestQuestionsTakeNothing: as long as the examination is connected, others get the lock.
func TestQuestionsTakeNothing(t *testing.T) {
	t.Parallel()
	ref := wire.Ref{Kind: wire.Mutex, Name: testbroker.Name()}
	e := &examination{ctx: t.Context(), link: testLink(t), ref: ref}
	e.permissions()
	others := testLink(t).Requests
	for _, queue := range []string{ref.Name, wire.WillQueue(ref.Name), wire.LogQueue(ref.Name)} {
		if err := others.Claim(queue); err != nil {
			t.Errorf("%s: %v", queue, err)
		}
	}
}

// A broker may fail to refuse a queue that another holds, and end the connection. The
// other questions are asked all the same.
func TestHeldLockOverWhichTheBrokerFails(t *testing.T) {
	t.Parallel()
	ref := wire.Ref{Kind: wire.Mutex, Name: testbroker.Name() + strings.Repeat("ü", 100)}
	if err := testLink(t).Requests.Claim(ref.Name); err != nil {
		t.Fatal(err)
	}
	findings := Examine(t.Context(), testLink(t).Broker, ref)
	for _, f := range findings {
		if f.Level == Failure {
			t.Errorf("%s: %s", f.Check, f.Text)
		}
	}
	if last := findings[len(findings)-1].Check; last != "permission" {
		t.Errorf("the last finding is about %q, want permission", last)
	}
}

// testLink is a connection to the broker of the tests.
func testLink(t *testing.T) *wire.Link {
	t.Helper()
	link, err := wire.Connect(t.Context(), wire.Broker{URLs: []string{testbroker.URL(t)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Abort)
	return link
}
