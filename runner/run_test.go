package runner

import (
	"context"
	"errors"
	"testing"
)

// TestLossBesideTheAnswer: the lock is lost, and in the same instant Verify says that it
// is ours.
func TestLossBesideTheAnswer(t *testing.T) {
	loss := errors.New("lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(loss)
	r := newRun(&Command{}, nil)
	r.verified, r.leader.collected = make(chan error), true
	if err := r.answered(ctx, nil); !errors.Is(err, loss) {
		t.Errorf("the answer resumes the command: %v", err)
	}
	if r.verified == nil {
		t.Error("the command counts as resumed")
	}
}
