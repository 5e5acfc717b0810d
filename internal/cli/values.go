package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/job"
	"github.com/amqprun/amqprun/runner"
)

// The functions here read values of options.

func text(value string) (string, error) { return value, nil }

// nonEmpty refuses what is left of --cacert "$FILE" when a script has lost its variable.
func nonEmpty(value string) (string, error) {
	if value == "" {
		return "", errors.New("has an empty value")
	}
	return value, nil
}

// givenOnce is for a name: of two locks the first would be forgotten in silence.
func givenOnce() func(string) (string, error) {
	given := false
	return func(value string) (string, error) {
		if given {
			return "", errors.New("given twice")
		}
		given = true
		return value, nil
	}
}

func boolean(value string) (bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, errors.New("must be true or false")
	}
	return b, nil
}

var errTooLarge = errors.New("the number is too large")

// number reads decimal, also where the number begins with 0.
func number(value string) (int, error) {
	n, err := strconv.Atoi(value)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, errTooLarge
	case err != nil:
		return 0, errors.New("must be a whole number")
	}
	return n, nil
}

// priority is number for one among waiters.
func priority(value string) (int, error) {
	n, err := number(value)
	if err != nil || n < -amqplock.MaxPriority || n > amqplock.MaxPriority {
		return 0, fmt.Errorf("must be a whole number from -%d to %d",
			amqplock.MaxPriority, amqplock.MaxPriority)
	}
	return n, nil
}

// numberOrAll is number that also takes "all".
func numberOrAll(value string) (int, error) {
	if value == "all" {
		return amqplock.All, nil
	}
	n, err := number(value)
	switch {
	case errors.Is(err, errTooLarge):
		return 0, err
	case err != nil:
		return 0, errors.New("must be a whole number, or all")
	case n < 1:
		return 0, errors.New("must be at least 1")
	}
	return n, nil
}

// duration reads a time as people write it: 90, 1.5, 90s, 5m.
func duration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if seconds, numberErr := strconv.ParseFloat(value, 64); numberErr == nil {
		if seconds > math.MaxInt64/float64(time.Second) {
			return 0, errors.New("too long")
		}
		if d, err = time.Duration(seconds*float64(time.Second)), nil; math.IsNaN(seconds) {
			d = -1
		}
	}
	if err != nil || d < 0 {
		return 0, errors.New("not a time: write 90, 1.5, 90s or 5m")
	}
	return d, nil
}

// leastTime is the shortest interval or deadline that an option takes. A shorter one
// would make amqprun spin, or give up before a broker on the same machine can answer.
const leastTime = 10 * time.Millisecond

// atLeast is duration for a time of leastTime or more.
func atLeast(value string) (time.Duration, error) {
	d, err := duration(value)
	if err == nil && d < leastTime {
		err = fmt.Errorf("must be at least %s", leastTime)
	}
	return d, err
}

// regain is atLeast with the bound of amqplock.WithRegain.
func regain(value string) (time.Duration, error) {
	d, err := atLeast(value)
	if err == nil && d > amqplock.MaxRegain {
		err = fmt.Errorf("must be at most %s", amqplock.MaxRegain)
	}
	return d, err
}

// zeroOr is atLeast that also takes 0.
func zeroOr(value string) (time.Duration, error) {
	if d, err := duration(value); err == nil && d == 0 {
		return 0, nil
	}
	return atLeast(value)
}

func exitStatus(value string) (int, error) {
	n, err := number(value)
	if err == nil && (n < 0 || n > 255) {
		err = errors.New("an exit status is from 0 to 255")
	}
	return n, err
}

func orphans(value string) (runner.Orphans, error) {
	known := map[string]runner.Orphans{"leave": runner.Leave, "wait": runner.Wait,
		"kill": runner.Kill}
	policy, ok := known[value]
	if !ok {
		return policy, errors.New("neither leave, wait nor kill")
	}
	return policy, nil
}

func onLoss(value string) (job.OnLoss, error) {
	known := map[string]job.OnLoss{"stop": job.Stop, "pause": job.Pause, "keep": job.Keep}
	policy, ok := known[value]
	if !ok {
		return policy, errors.New("neither stop, pause nor keep")
	}
	return policy, nil
}

// logFormat reports whether it is JSON.
func logFormat(value string) (bool, error) {
	if value != "text" && value != "json" {
		return false, errors.New("neither text nor json")
	}
	return value == "json", nil
}

// maxMetadata bounds all notes of a run together, in bytes: status asks for them in one
// message.
const maxMetadata = 4000

// metadata collects K=V.
func metadata() func(string) (map[string]string, error) {
	all, size := map[string]string{}, 0
	return func(value string) (map[string]string, error) {
		key, note, ok := strings.Cut(value, "=")
		if !ok || key == "" {
			return nil, errors.New("not of the form K=V")
		}
		if _, twice := all[key]; twice {
			return nil, fmt.Errorf("%q is given twice", key)
		}
		if size += len(key) + len(note); size > maxMetadata {
			return nil, fmt.Errorf("more than %d bytes in all", maxMetadata)
		}
		all[key] = note
		return all, nil
	}
}

// urlList collects URLs with white space between them, which no URL holds.
func urlList() func(string) ([]string, error) {
	var urls []string
	return func(value string) ([]string, error) {
		list := splitURLs(value)
		if len(list) == 0 { // the one error here: a value in it may be a password
			return nil,
				errors.New("has an empty value; without the option the broker is that of AMQPRUN_URL")
		}
		urls = append(urls, list...)
		return urls, nil
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
