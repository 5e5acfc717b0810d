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
	for _, answer := range []error{nil, loss} {
		if err := r.answered(ctx, answer); err != nil {
			t.Errorf("the answer %v decides, and not the loss: %v", answer, err)
		}
	}
	if r.verified == nil {
		t.Error("the command counts as resumed")
	}
}
