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

// A mutex: what is between Acquire and Release runs once at a time, on all machines
// together.
func ExampleClient_Acquire() {
	client, err := amqplock.New(amqplock.Broker{URLs: []string{os.Getenv("AMQPRUN_URL")}})
	if err != nil {
		log.Print(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // how long to wait
	defer cancel()
	lock, err := client.Acquire(ctx, amqplock.Mutex("example-mutex"))
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
func ExampleClient_Do() {
	client, err := amqplock.New(amqplock.Broker{URLs: []string{os.Getenv("AMQPRUN_URL")}})
	if err != nil {
		log.Print(err)
		return
	}
	ctx, builds := context.Background(), amqplock.Semaphore("example-semaphore")
	var working, most atomic.Int32
	work := func(ctx context.Context) error { // ctx ends when the slot is lost
		now := working.Add(1)
		defer working.Add(-1)
		for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
			continue
		}
		return ctx.Err()
	}
	var workers sync.WaitGroup
	for range 3 {
		workers.Go(func() {
			if err := client.Do(ctx, builds, work, amqplock.WithSlots(2)); err != nil {
				log.Print(err)
			}
		})
	}
	workers.Wait()
	fmt.Println("never more than two:", most.Load() <= 2)
	status, err := client.Inspect(ctx, builds)
	fmt.Println(status.Slots, "slots,", status.Held, "held", err)
	fmt.Println("destroyed:", client.Semaphore(builds.Name).Destroy(ctx) == nil)
	// Prints:
	// never more than two: true
	// 2 slots, 0 held <nil>
	// destroyed: true
}

// A lock that others hold, and a program that does not want to wait.
func ExampleClient_TryAcquire() {
	client, err := amqplock.New(amqplock.Broker{URLs: []string{os.Getenv("AMQPRUN_URL")}})
	if err != nil {
		log.Print(err)
		return
	}
	ctx, lock := context.Background(), amqplock.Mutex("example-try")
	first, err := client.TryAcquire(ctx, lock)
	if err != nil {
		log.Print(err)
		return
	}
	_, err = client.TryAcquire(ctx, lock)
	fmt.Println("held by another:", errors.Is(err, amqplock.ErrNotAcquired))
	fmt.Println("released:", first.Release(ctx) == nil)
	// Prints:
	// held by another: true
	// released: true
}

// A lock that is lost: the context of the work ends, and says why.
func ExampleLock_Context() {
	client, err := amqplock.New(amqplock.Broker{URLs: []string{os.Getenv("AMQPRUN_URL")}})
	if err != nil {
		log.Print(err)
		return
	}
	ctx, semaphore := context.Background(), client.Semaphore("example-loss")
	lock, err := client.Acquire(ctx, amqplock.Semaphore("example-loss"),
		amqplock.WithSlots(1),
		// The work needs so long to end. A silent broker leaves it that time.
		amqplock.WithStopTime(2*time.Second),
	)
	if err != nil {
		log.Print(err)
		return
	}
	work := func(ctx context.Context) error {
		<-ctx.Done() // stands for requests, queries and loops that are given ctx
		return context.Cause(ctx)
	}
	if err := semaphore.Adjust(ctx, -1); err != nil { // an administrator takes the slot away
		log.Print(err)
	}
	var lost *amqplock.Error
	if err := work(lock.Context()); errors.Is(err, amqplock.ErrLost) && errors.As(err, &lost) {
		fmt.Println("stopped, because this is lost:", lost.Lock)
	}
	fmt.Println("again at the end:", errors.Is(lock.Release(ctx), amqplock.ErrLost))
	fmt.Println("destroyed:", semaphore.Destroy(ctx) == nil)
	// Prints:
	// stopped, because this is lost: slot 1 of semaphore "example-loss"
	// again at the end: true
	// destroyed: true
}

// A semaphore of any size: what takes part is set up once, by an administrator.
func ExampleAdmin_Resize() {
	client, err := amqplock.New(amqplock.Broker{URLs: []string{os.Getenv("AMQPRUN_URL")}})
	if err != nil {
		log.Print(err)
		return
	}
	ctx, semaphore := context.Background(), client.Semaphore("example-resize")
	fmt.Println(semaphore.Resize(ctx, 3))
	status, err := client.Look(ctx, amqplock.Semaphore("example-resize"))
	fmt.Println(status.Slots, "slots,", status.Free, "free", err)
	fmt.Println(semaphore.Destroy(ctx))
	// Prints:
	// <nil>
	// 3 slots, 3 free <nil>
	// <nil>
}

// TestExamples runs what `go test` only compiles, because an example cannot be skipped
// where there is no broker. It runs alone: it replaces the standard output.
func TestExamples(t *testing.T) {
	if os.Getenv("AMQPRUN_URL") == "" {
		t.Skip("no broker: set AMQPRUN_URL (scripts/broker starts one)")
	}
	prints := promised(t)
	for name, run := range map[string]func(){
		"ExampleClient_Acquire":    ExampleClient_Acquire,
		"ExampleClient_Do":         ExampleClient_Do,
		"ExampleClient_TryAcquire": ExampleClient_TryAcquire,
		"ExampleLock_Context":      ExampleLock_Context,
		"ExampleAdmin_Resize":      ExampleAdmin_Resize,
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
