package job

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/amqprun/amqprun/internal/exit"
	"github.com/amqprun/amqprun/internal/hold"
)

// heldLocks is the variable that names the locks of all ancestors.
const heldLocks = "AMQPRUN_LOCKS"

// allIDs is the variable with the IDs of this run and all around it. A guard knows by it
// what belongs to its run, where AMQPRUN_ID is that of an inner run, or of a hold.
const allIDs = "AMQPRUN_IDS"

// lockKeys name a lock in AMQPRUN_LOCKS, whose words are separated by spaces. There is a
// key for each broker, so that a descendant that was given another selection of them
// knows the lock again.
func lockKeys(s Spec) []string {
	keys := s.Broker.Names()
	for i, broker := range keys {
		keys[i] = fmt.Sprintf("%s:%s@%s", s.Lock.Kind, url.QueryEscape(s.Lock.Name),
			url.QueryEscape(broker))
	}
	return keys
}

// refuseNested reports a lock that an ancestor of ours holds: to wait for it would be to
// wait for ever.
func refuseNested(s Spec) error {
	held, keys := strings.Fields(os.Getenv(heldLocks)), lockKeys(s)
	ours := func(key string) bool { return slices.Contains(keys, key) }
	if slices.ContainsFunc(hold.Locks(os.Getenv(hold.Variable)), ours) {
		return &exit.UsageError{
			Text: fmt.Sprintf("%s is already held by the script that this one was started from", s.Lock),
			Hint: "amqprun release gives it back; " +
				"a job that now runs on its own has to drop the variable " + hold.Variable,
		}
	}
	if !slices.ContainsFunc(held, ours) {
		return nil
	}
	return &exit.UsageError{
		Text: fmt.Sprintf("%s is already held by a command that this one was started from", s.Lock),
		Hint: "the outer amqprun holds it for everything that it runs; " +
			"a job that now runs on its own has to drop the variable " + heldLocks,
	}
}

// words is the value of AMQPRUN_SLOTS, and what the file of an elastic set holds.
func words(slots []int) string {
	list := make([]string, len(slots))
	for i, slot := range slots {
		list[i] = strconv.Itoa(slot)
	}
	return strings.Join(list, " ")
}

// numbered are slots as the command sees them. A mutex has one slot, number 1.
func numbered(slots []int) []int {
	numbers := slices.Clone(slots)
	for i := range numbers {
		numbers[i] = max(numbers[i], 1)
	}
	return numbers
}

// tokenVariable holds the fencing token.
const tokenVariable = "AMQPRUN_TOKEN"

const slotsFileVariable = "AMQPRUN_SLOTS_FILE"

// lockVariables describe the lock. A token of 0 is none.
func lockVariables(s Spec, slots []int, token int64) []string {
	variables := []string{
		"AMQPRUN_LOCK=" + s.Lock.Name,
		"AMQPRUN_KIND=" + string(s.Lock.Kind),
		"AMQPRUN_SLOT=" + strconv.Itoa(slots[0]),
		"AMQPRUN_SLOTS=" + words(slots),
		"AMQPRUN_COUNT=" + strconv.Itoa(len(slots)),
		"AMQPRUN_ID=" + s.ID,
	}
	if token != 0 {
		variables = append(variables, tokenVariable+"="+strconv.FormatInt(token, 10))
	}
	return variables
}

// longer is the entry of a variable that we got, with more words.
func longer(variable string, more ...string) string {
	return variable + "=" + strings.Join(append(strings.Fields(os.Getenv(variable)), more...), " ")
}

// environment is what the command gets: ours as we got it, and what describes the lock.
// It is without what amqprun has set for a lock around this one.
func environment(s Spec, slots []int, token int64) []string {
	ours := append(lockVariables(s, slots, token),
		longer(heldLocks, lockKeys(s)...), longer(allIDs, s.ID))
	replaced := []string{slotsFileVariable, tokenVariable}
	for _, entry := range ours {
		name, _, _ := strings.Cut(entry, "=")
		replaced = append(replaced, name)
	}
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(replaced, name)
	})
	return append(env, ours...)
}
