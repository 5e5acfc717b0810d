package amqplock_test

import (
	"context"
	"errors"
	"fmt"
	"go/doc"
	"go/parser"
	"go/token"
	"io"
	"log"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock"
)

// A mutex: what is between Acquire and Release runs once at a time, on all machines together.
func ExampleAcquire() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // how long to wait for the lock
	defer cancel()
	lock, err := amqplock.Acquire(ctx, amqplock.Config{
		Broker: amqplock.Broker{URLs: []string{os.Getenv("AMQPRUN_URL")}},
		Kind:   amqplock.Mutex,
		Name:   "example-mutex",
	})
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println("holding", lock)
	// ... work that ends when lock.Context() ends ...
	if err := lock.Release(context.Background()); err != nil {
		log.Print("the lock was lost while the work ran: ", err)
		return
	}
	fmt.Println("released")
	// Prints:
	// holding mutex "example-mutex"
	// released
}

// A semaphore: of three workers at most two work at a time. The first creates it.
func ExampleAcquire_semaphore() {
	config := amqplock.Config{
		Broker: amqplock.Broker{URLs: []string{os.Getenv("AMQPRUN_URL")}},
		Kind:   amqplock.Semaphore,
		Name:   "example-semaphore",
		Slots:  2,
	}
	var working, most atomic.Int32
	var workers sync.WaitGroup
	for range 3 {
		workers.Go(func() {
			lock, err := amqplock.Acquire(context.Background(), config)
			if err != nil {
				log.Print(err)
				return
			}
			now := working.Add(1)
			for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
				continue
			}
			working.Add(-1)
			if err := lock.Release(context.Background()); err != nil {
				log.Print(err)
			}
		})
	}
	workers.Wait()
	fmt.Println("never more than two:", most.Load() <= 2)
	status, err := amqplock.Inspect(context.Background(), config)
	fmt.Println(status.Slots, "slots,", status.Held, "held", err)
	fmt.Println("destroyed:", amqplock.Destroy(context.Background(), config) == nil)
	// Prints:
	// never more than two: true
	// 2 slots, 0 held <nil>
	// destroyed: true
}

// A lock that others hold, and nobody who wants to wait.
func ExampleTryAcquire() {
	config := amqplock.Config{
		Broker: amqplock.Broker{URLs: []string{os.Getenv("AMQPRUN_URL")}},
		Kind:   amqplock.Mutex,
		Name:   "example-try",
	}
	first, err := amqplock.TryAcquire(context.Background(), config)
	if err != nil {
		log.Print(err)
		return
	}
	_, err = amqplock.TryAcquire(context.Background(), config)
	fmt.Println("held by another:", errors.Is(err, amqplock.ErrNotAcquired))
	fmt.Println("released:", first.Release(context.Background()) == nil)
	// Prints:
	// held by another: true
	// released: true
}

// A lock that is lost: the context of the work ends, and says why.
func ExampleLock_Context() {
	config := amqplock.Config{
		Broker:   amqplock.Broker{URLs: []string{os.Getenv("AMQPRUN_URL")}},
		Kind:     amqplock.Semaphore,
		Name:     "example-loss",
		Slots:    1,
		StopTime: 2 * time.Second, // what the work needs to end; a silent broker leaves it so long
	}
	lock, err := amqplock.Acquire(context.Background(), config)
	if err != nil {
		log.Print(err)
		return
	}
	work := func(ctx context.Context) error {
		<-ctx.Done() // stands for requests, queries and loops that are given ctx
		return context.Cause(ctx)
	}
	if err := amqplock.Adjust(context.Background(), config, -1); err != nil { // an administrator takes the slot away
		log.Print(err)
	}
	var lost *amqplock.LostError
	if errors.As(work(lock.Context()), &lost) {
		fmt.Println("stopped, for this is lost:", lost.Lock)
	}
	fmt.Println("told again at the end:", errors.Is(lock.Release(context.Background()), amqplock.ErrLost))
	fmt.Println("destroyed:", amqplock.Destroy(context.Background(), config) == nil)
	// Prints:
	// stopped, for this is lost: slot 1 of semaphore "example-loss"
	// told again at the end: true
	// destroyed: true
}

// TestExamples runs what `go test` only compiles, because an example cannot be skipped where there is no broker.
func TestExamples(t *testing.T) {
	if os.Getenv("AMQPRUN_URL") == "" {
		t.Skip("no broker: set AMQPRUN_URL (scripts/broker starts one)")
	}
	prints := promised(t)
	for name, run := range map[string]func(){
		"ExampleAcquire":           ExampleAcquire,
		"ExampleAcquire_semaphore": ExampleAcquire_semaphore,
		"ExampleTryAcquire":        ExampleTryAcquire,
		"ExampleLock_Context":      ExampleLock_Context,
	} {
		t.Run(name, func(t *testing.T) {
			if got := printed(t, run); got != prints[name] || got == "" {
				t.Errorf("prints %q, want %q", got, prints[name])
			}
			delete(prints, name)
		})
	}
	for name := range prints {
		t.Errorf("%s is not run", name)
	}
}

// promised is what the examples here say that they print.
func promised(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "example_test.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	prints := map[string]string{}
	for _, example := range doc.Examples(file) {
		for _, comment := range example.Comments {
			inside := comment.Pos() > example.Code.Pos() && comment.End() < example.Code.End()
			if _, text, ok := strings.Cut(comment.Text(), "Prints:\n"); ok && inside {
				prints["Example"+example.Name] = text
			}
		}
	}
	return prints
}

// printed returns what f prints. It is a few lines, which a pipe takes without a reader.
func printed(t *testing.T, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	defer func() { os.Stdout = stdout }()
	f()
	_ = w.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
