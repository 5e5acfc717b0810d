package conversations

import (
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/program"
)

// quietOnMachine is for a broker that shares two cores.
const quietOnMachine = 250 * time.Millisecond

// TestRabbitMQ holds the conversations with the broker in AMQPRUN_URL, which nobody else
// may use. With AMQPRUN_CONVERSATIONS=check they have to go as they are recorded for the
// broker's release, and with record they are recorded. scripts/lab conversations does
// that for all releases.
func TestRabbitMQ(t *testing.T) {
	mode := os.Getenv("AMQPRUN_CONVERSATIONS")
	if mode == "" {
		t.Skip("AMQPRUN_CONVERSATIONS is not set")
	}
	at, err := url.Parse(os.Getenv("AMQPRUN_URL"))
	if err != nil {
		t.Fatal(err)
	}
	broker := Broker{
		Dial:  func() (net.Conn, error) { return net.Dial("tcp", at.Host) },
		Alarm: func(on bool) error { alarm(t, on); return nil },
		Quiet: quietOnMachine,
	}
	release := releaseOf(t, broker)
	for _, script := range scripts(t) {
		t.Run(script.name, func(t *testing.T) {
			// An alarm disturbs all others. Tests without Parallel come first.
			if !strings.Contains(script.text, "\nbroker alarm") {
				t.Parallel()
			}
			clean(t, broker, script.text)
			got, err := Play(script.text, broker)
			if err != nil {
				t.Fatalf("%v, after\n%s", err, got)
			}
			golden := golden(release, script.name)
			if mode == "record" {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, d := range differences(t, golden, got) {
				t.Error(d)
			}
		})
	}
}

// alarm sets the limit of memory so that the broker is above it, or not.
func alarm(t *testing.T, on bool) {
	limit := "0.6"
	if on {
		limit = "0.000001"
	}
	program.Broker(t, nil, "ctl", "-n", os.Getenv("AMQPRUN_TEST_BROKER"), "-q",
		"set_vm_memory_high_watermark", limit)
}

// releaseOf is the folder of the broker's transcripts.
func releaseOf(t *testing.T, broker Broker) string {
	t.Helper()
	conn, err := broker.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	h := handshake{conn: conn}
	if _, err := conn.Write([]byte(protocolHeader)); err != nil {
		t.Fatal(err)
	}
	start, err := h.await("connection.start")
	if err != nil {
		t.Fatal(err)
	}
	version, _ := start.args["server-properties"].(table)["version"].(string)
	return regexp.MustCompile(`^\d+\.\d+`).FindString(version)
}

// clean deletes the durable queues and the exchanges that an earlier recording has left.
func clean(t *testing.T, broker Broker, script string) {
	t.Helper()
	var deletions strings.Builder
	seen := map[string]bool{}
	for _, name := range regexp.MustCompile(`\b(queue|exchange)=[^ \n"]+`).FindAllString(script, -1) {
		if seen[name] || strings.Contains(name, "=amq.") {
			continue
		}
		seen[name] = true
		kind, _, _ := strings.Cut(name, "=")
		deletions.WriteString("cleaner " + kind + ".delete " + name + "\n")
	}
	if _, err := Play(deletions.String(), Broker{Dial: broker.Dial}); err != nil {
		t.Fatal(err)
	}
}
