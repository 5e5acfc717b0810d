package locker

import (
	"context"
	"os/exec"
	"testing"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// A wait that ends before the broker has answered once says so.
func TestTextsOfWaiting(t *testing.T) {
	t.Parallel()
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	cfg := Config{Ref: wire.Ref{Kind: wire.Mutex, Name: "x"}}
	want := `mutex "x" on amqp://h:5672 was not acquired in time: the broker has not answered yet`
	if got := notAcquired(late, cfg, "amqp://h:5672", nil).Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The command that a hint gives has to arrive in the shell as it was meant.
func TestShellWord(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"builds", "a/b_c.d-e:f@g%20+,", "two words", "it's", "$HOME", "`id`",
		"*", `back\slash`, "ü", "~"} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellWord(name)).Output()
		if err != nil || string(out) != name {
			t.Errorf("%q became %q: %v", name, out, err)
		}
	}
	if got := shellWord("builds-1.x"); got != "builds-1.x" {
		t.Errorf("a plain name became %s", got)
	}
}
