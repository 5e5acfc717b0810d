package job

import (
	"context"
	"errors"
	"testing"

	"github.com/amqprun/amqprun/runner"
)

// An elastic set may have lost its last slot when its command is about to start.
func TestNothingRunsUnderAnEmptySet(t *testing.T) {
	lost := errors.New("the last slot is gone")
	lock, lose := context.WithCancelCause(t.Context())
	lose(lost)
	status, err := under(lock, nil, func() (runner.Status, error) {
		t.Error("the command runs")
		return runner.Status{}, nil
	})
	if status.Started || !errors.Is(err, lost) {
		t.Errorf("%+v, %v, want the loss", status, err)
	}
}
