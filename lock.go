package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/amqprun/amqprun/amqplock"
)

// lockOptions is the lock that the command line names, and how to take it.
type lockOptions struct {
	amqplock.Broker
	amqplock.Ref
	Slots           int
	Count           int
	Greedy, Elastic bool
	CheckInterval   time.Duration
	StopTime        time.Duration
	About           func() amqplock.About
	OnWaiting       func(amqplock.Waiting)
	OnChange        func([]int)
	Logf, Warnf     func(format string, args ...any)
}

// client logs to Logf and Warnf.
func (l lockOptions) client() (*amqplock.Client, error) {
	if l.Logf != nil || l.Warnf != nil {
		l.Log = slog.New(stepLog{l})
	}
	return amqplock.New(l.Broker)
}

func (l lockOptions) options() []amqplock.Option {
	opts := []amqplock.Option{
		amqplock.WithSlots(l.Slots), amqplock.WithCount(l.Count),
		amqplock.WithCheckInterval(l.CheckInterval), amqplock.WithStopTime(l.StopTime),
	}
	if l.Greedy {
		opts = append(opts, amqplock.WithGreedy())
	}
	if l.Elastic {
		opts = append(opts, amqplock.WithElastic(l.OnChange))
	}
	if l.About != nil {
		opts = append(opts, amqplock.WithAbout(l.About))
	}
	if l.OnWaiting != nil {
		opts = append(opts, amqplock.OnWaiting(l.OnWaiting))
	}
	return opts
}

// Validate reports what acquire would find wrong, without contacting anything.
func (l lockOptions) Validate() error {
	if l.Elastic && !l.Greedy {
		return &amqplock.Error{Kind: amqplock.ErrConfig, Text: "elastic needs greedy"}
	}
	c, err := l.client()
	if err != nil {
		return err
	}
	return c.Check(l.Ref, l.options()...)
}

// stepLog hands records on to Logf and Warnf.
type stepLog struct{ lock lockOptions }

func (s stepLog) to(level slog.Level) func(string, ...any) {
	if level >= slog.LevelWarn {
		return s.lock.Warnf
	}
	return s.lock.Logf
}

func (s stepLog) Enabled(_ context.Context, level slog.Level) bool { return s.to(level) != nil }
func (s stepLog) WithAttrs([]slog.Attr) slog.Handler               { return s }
func (s stepLog) WithGroup(string) slog.Handler                    { return s }

func (s stepLog) Handle(_ context.Context, r slog.Record) error {
	s.to(r.Level)("%s", r.Message)
	return nil
}
