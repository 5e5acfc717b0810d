package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/job"
	"github.com/amqprun/amqprun/runner"
	"github.com/amqprun/amqprun/signals"
)

// The functions here make the set of an option: it reads a value into the place that they
// get.

func text(s *string) func(string) error {
	return func(value string) error { *s = value; return nil }
}

// nonEmpty refuses what is left of --cacert "$FILE" when a script has lost its variable.
func nonEmpty(s *string) func(string) error {
	return func(value string) error {
		if *s = value; value == "" {
			return errors.New("has an empty value")
		}
		return nil
	}
}

// once is for a name: of two locks the first would be forgotten in silence.
func once(s *string) func(string) error {
	given := false
	return func(value string) error {
		if given {
			return errors.New("given twice")
		}
		*s, given = value, true
		return nil
	}
}

func boolean(b *bool) func(string) error {
	return func(value string) (err error) {
		if *b, err = strconv.ParseBool(value); err != nil {
			return errors.New("must be true or false")
		}
		return nil
	}
}

var errTooLarge = errors.New("the number is too large")

// number reads decimal, also where the number begins with 0.
func number(n *int) func(string) error {
	return func(value string) error {
		i, err := strconv.Atoi(value)
		switch {
		case errors.Is(err, strconv.ErrRange):
			return errTooLarge
		case err != nil:
			return errors.New("must be a whole number")
		}
		*n = i
		return nil
	}
}

// priority is number for one among waiters.
func priority(n *int) func(string) error {
	return func(value string) error {
		if number(n)(value) != nil || *n < -amqplock.MaxPriority || *n > amqplock.MaxPriority {
			return fmt.Errorf("must be a whole number from -%d to %d",
				amqplock.MaxPriority, amqplock.MaxPriority)
		}
		return nil
	}
}

// numberOrAll is number that also takes "all".
func numberOrAll(n *int) func(string) error {
	return func(value string) error {
		if value == "all" {
			*n = amqplock.All
			return nil
		}
		err := number(n)(value)
		switch {
		case errors.Is(err, errTooLarge):
			return err
		case err != nil:
			return errors.New("must be a whole number, or all")
		}
		if *n < 1 {
			return errors.New("must be at least 1")
		}
		return nil
	}
}

// duration reads a time as people write it: 90, 1.5, 90s, 5m.
func duration(d *time.Duration) func(string) error {
	return func(value string) error {
		t, err := time.ParseDuration(value)
		if seconds, numberErr := strconv.ParseFloat(value, 64); numberErr == nil {
			t, err = time.Duration(seconds*float64(time.Second)), nil
			if seconds > math.MaxInt64/float64(time.Second) {
				return errors.New("too long")
			}
			if math.IsNaN(seconds) {
				t = -1
			}
		}
		if err != nil || t < 0 {
			return errors.New("not a time: write 90, 1.5, 90s or 5m")
		}
		*d = t
		return nil
	}
}

// leastTime is the shortest interval or deadline that an option takes. A shorter one
// would make amqprun spin, or give up before a broker on the same machine can answer.
const leastTime = 10 * time.Millisecond

// atLeast is duration for a time of leastTime or more.
func atLeast(d *time.Duration) func(string) error {
	return func(value string) error {
		var t time.Duration
		if err := duration(&t)(value); err != nil {
			return err
		}
		if t < leastTime {
			return fmt.Errorf("must be at least %s", leastTime)
		}
		*d = t
		return nil
	}
}

// zeroOr is atLeast that also takes 0.
func zeroOr(d *time.Duration) func(string) error {
	return func(value string) error {
		if err := duration(d)(value); err != nil || *d == 0 {
			return err
		}
		return atLeast(d)(value)
	}
}

func exitStatus(n *int) func(string) error {
	return func(value string) error {
		if err := number(n)(value); err != nil {
			return err
		}
		if *n < 0 || *n > 255 {
			return errors.New("an exit status is from 0 to 255")
		}
		return nil
	}
}

// signal reads a name or a number.
func signal(s *syscall.Signal) func(string) error {
	return func(value string) (err error) {
		*s, err = signals.Parse(value)
		return err
	}
}

func orphans(o *runner.Orphans) func(string) error {
	return func(value string) error {
		known := map[string]runner.Orphans{"leave": runner.Leave, "wait": runner.Wait,
			"kill": runner.Kill}
		policy, ok := known[value]
		if !ok {
			return errors.New("neither leave, wait nor kill")
		}
		*o = policy
		return nil
	}
}

func onLoss(o *job.OnLoss) func(string) error {
	return func(value string) error {
		known := map[string]job.OnLoss{"stop": job.Stop, "pause": job.Pause, "keep": job.Keep}
		policy, ok := known[value]
		if !ok {
			return errors.New("neither stop, pause nor keep")
		}
		*o = policy
		return nil
	}
}

func logFormat(json *bool) func(string) error {
	return func(value string) error {
		if value != "text" && value != "json" {
			return errors.New("neither text nor json")
		}
		*json = value == "json"
		return nil
	}
}

// maxMetadata bounds all notes of a run together, in bytes: status asks for them in one
// message.
const maxMetadata = 4000

// metadata collects K=V.
func metadata(m *map[string]string) func(string) error {
	size := 0
	return func(value string) error {
		key, note, ok := strings.Cut(value, "=")
		if !ok || key == "" {
			return errors.New("not of the form K=V")
		}
		if *m == nil {
			*m = map[string]string{}
		}
		if _, twice := (*m)[key]; twice {
			return fmt.Errorf("%q is given twice", key)
		}
		if size += len(key) + len(note); size > maxMetadata {
			return fmt.Errorf("more than %d bytes in all", maxMetadata)
		}
		(*m)[key] = note
		return nil
	}
}

// urlList collects URLs with white space between them, which no URL holds.
func urlList(urls *[]string) func(string) error {
	return func(value string) error {
		list := splitURLs(value)
		if len(list) == 0 { // the one error here: a value in it may be a password
			return errors.New("has an empty value; without the option the broker is that of AMQPRUN_URL")
		}
		*urls = append(*urls, list...)
		return nil
	}
}

// splitURLs leaves a URL whole that a space in its password would tear. So the error is
// about that URL, and not about the rest of its password.
func splitURLs(text string) (urls []string) {
	for i, word := range strings.Fields(text) {
		if i > 0 && !strings.Contains(word, "://") {
			urls[len(urls)-1] += " " + word
		} else {
			urls = append(urls, word)
		}
	}
	return urls
}
