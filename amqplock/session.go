package amqplock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
)

// session is the connections of one party to a lock. The hold connection declares, checks and deletes, and never publishes: in a memory or
// disk alarm RabbitMQ stops reading from every connection that has published, for as long as the alarm lasts. The talk connection
// publishes (probes, the line, hints) and may come and go.
type session struct {
	cfg  Config
	hold *conn
	own  *lane // of the hold connection: claim, look, remove
	slot *lane // the checks of slots
	quo  *lane // the check for a majority

	granted bool // a lock was handed out: only its Release may close the hold connection

	scouts *scouts // go ahead of those two

	talk   *conn // nil until needed
	tell   *lane
	probes *prober

	patient bool       // may wait in line
	looked  bool       // a queue that refused us has been seen to be a lock
	busy    error      // why the newest try found the lock taken; nil before
	why     error      // why we wait
	told    Waiting    // to Config.OnWaiting
	first   bool       // of the waiting line
	ahead   int        // how many stood in the line when we joined it
	warned  bool       // that an alarm makes us wait
	mute    bool       // we may not publish, and so not ask
	held    collection // what was claimed so far

	passing sync.WaitGroup // our leaving the line
	who     *presence      // nil where nobody is to be told
}

// connect opens the hold connection.
func connect(ctx context.Context, cfg Config) (*session, error) {
	begun := time.Now()
	cfg.Logf("connecting to %s", cfg.nodes)
	hold, err := cfg.open(ctx, true)
	if err != nil {
		return nil, err
	}
	s := &session{
		cfg: cfg, hold: hold,
		own: newLane(hold), slot: newLane(hold), quo: newLane(hold),
		scouts: &scouts{},
	}
	cfg.Logf("connected to %s in %s, RabbitMQ %v, heartbeat %s", hold.broker, took(begun), hold.Properties["version"], hold.Config.Heartbeat)
	return s, nil
}

// took is for people.
func took(begun time.Time) time.Duration { return time.Since(begun).Round(10 * time.Microsecond) }

// connectHolder is connect for one who wants the lock: the broker may have lowered the heartbeat so far that a lease cannot work.
func connectHolder(ctx context.Context, cfg Config) (*session, error) {
	talk := make(chan *conn, 1)
	if cfg.Kind == Semaphore { // which has to look for a slot first
		go func() {
			c, _ := cfg.open(ctx, false) // what is wrong is told by the hold connection, or when it is tried again
			talk <- c
		}()
	} else {
		talk <- nil
	}
	s, err := connect(ctx, cfg)
	if err == nil {
		s.who = newPresence(cfg)
	}
	c := <-talk
	if err != nil {
		if c != nil {
			c.drop()
		}
		return nil, err
	}
	if c != nil {
		s.useTalk(c)
	}
	if t := s.hold.Config.Heartbeat; !timingsWork(t, cfg.CheckInterval, cfg.StopTime) {
		s.drop()
		return nil, cfg.timingError(ErrTiming, t,
			fmt.Sprintf("the heartbeat of %s that the broker %s insists on", t, s.hold.broker))
	}
	return s, nil
}

// reconnect waits first, because a broker may accept each connection and close it at the first request.
func reconnect(ctx context.Context, cfg Config, pause time.Duration) (*session, error) {
	select {
	case <-time.After(pause):
		return connectPatiently(ctx, cfg, true)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// secondThought is when to ask a broker again that has refused us: by then one that is ending has ended.
const secondThought = time.Second

// connectPatiently is connectHolder, and with wait as often as connectAgain tries. When ctx is canceled the error matches its cause.
func connectPatiently(ctx context.Context, cfg Config, wait bool) (*session, error) {
	dial := connectHolder
	if wait {
		dial = connectAgain
	}
	s, err := dial(ctx, cfg)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		err = &Error{Kind: ErrNotAcquired, Text: fmt.Sprintf("%s %q was not acquired: %v", cfg.Kind, cfg.Name, cause), Err: cause}
	}
	return s, err
}

// connectAgain is connectHolder, again and again while no broker can be reached, for Config.ConnectTimeout after the first failure;
// that is told once. Errors that would come again end it, a refusal when it has come twice: a RabbitMQ that is ending has no users any more,
// and no virtual hosts.
func connectAgain(ctx context.Context, cfg Config) (*session, error) {
	away := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(cfg.ConnectTimeout))
	warned, refused := false, false
	var last error
	s, err := backoff.RetryNotifyWithData(func() (*session, error) {
		s, err := connectHolder(ctx, cfg)
		last = err
		switch {
		case err == nil:
		case temporary(err):
			refused = false
		case !refused && (errors.Is(err, ErrAccess) || errors.Is(err, ErrNotFound)):
			refused = true
			cfg.Logf("%v; asking once more", err)
			cfg.nodes.forgive()
			select {
			case <-time.After(secondThought):
			case <-ctx.Done():
			}
		default:
			err = backoff.Permanent(err)
		}
		return s, err
	}, backoff.WithContext(away, ctx), func(err error, _ time.Duration) {
		if cfg.Warnf != nil && !warned && temporary(err) {
			warned = true
			patience := cfg.ConnectTimeout
			if end, ok := ctx.Deadline(); ok {
				patience = min(patience, time.Until(end).Round(100*time.Millisecond))
			}
			cfg.Warnf("%v; trying again for %s", err, patience)
		}
	})
	if err != nil && ctx.Err() != nil {
		err = last // says more than that the time is over
	}
	return s, err
}

// farewell closes both connections in the protocol's way, at the same time; where the broker does not answer, by force after farewellTime.
func (s *session) farewell() {
	var both sync.WaitGroup
	if s.talk != nil {
		both.Go(func() { s.talk.farewell() })
	}
	s.hold.farewell()
	both.Wait()
	s.drop()
}

// drop closes both sockets.
func (s *session) drop() {
	s.dropTalk()
	s.hold.drop()
	s.who.wait()
}

func (s *session) dropTalk() {
	if s.talk != nil {
		s.talk.drop()
		s.talk, s.probes = nil, nil
	}
}

// timed is call with the bound of Config.ConnectTimeout. Where the broker does not answer, or says no, the error explains it; doing says
// what was tried.
func (s *session) timed(ctx context.Context, doing string, f func() error) error {
	_, err := timedFor(ctx, s, doing, func(context.Context) (struct{}, error) { return struct{}{}, f() })
	return err
}

func timedFor[T any](ctx context.Context, s *session, doing string, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
	defer cancel()
	value, err := callFor(ctx, func() (T, error) { return f(ctx) })
	return value, refused(s.hold.broker, doing, err)
}

// openTalk opens the talk connection unless it is open.
func (s *session) openTalk(ctx context.Context) error {
	if s.talk != nil && !s.talk.IsClosed() {
		return nil
	}
	s.dropTalk()
	cfg := s.cfg
	if s.granted && !cfg.Elastic {
		cfg.Heartbeat = max(cfg.Heartbeat, holderTalkHeartbeat)
	}
	talk, err := cfg.open(ctx, false)
	if err != nil {
		return err
	}
	s.useTalk(talk)
	return nil
}

// holderTalkHeartbeat, RabbitMQ's own choice, is for a talk connection on which nobody stands in line. That it is dead the checks find out much
// sooner, by their scouts, and the ticks of a quick heartbeat, at other instants than those of the hold connection, would be a quarter of what an idle
// holder costs.
const holderTalkHeartbeat = time.Minute

func (s *session) useTalk(talk *conn) {
	s.talk, s.tell = talk, newLane(talk)
	s.who.appear(talk)
}

// glance is at how many slots of a long row a newcomer looks before it looks at the line: while others wait in it, what is free is theirs, and
// if each newcomer asked for every slot, many of both would be too much for the broker.
const glance = 20 * firstSlots

// find looks for want free slots of the semaphore.
func (s *session) find(ctx context.Context, want int) (slots, error) {
	most := MaxSlots + overshoot
	if s.patient && s.why == nil && !s.cfg.Greedy {
		most = glance
	}
	return s.probed(ctx, func(ctx context.Context, p *prober) (slots, error) { return p.find(ctx, s.cfg.Name, want, most) })
}

// survey looks at all slots of the semaphore.
func (s *session) survey(ctx context.Context) (slots, error) {
	return s.probed(ctx, func(ctx context.Context, p *prober) (slots, error) { return p.survey(ctx, s.cfg.Name) })
}

func (s *session) probed(ctx context.Context, look func(context.Context, *prober) (slots, error)) (slots, error) {
	return probedFor(ctx, s, "look for slots of "+s.lockName(), look)
}

// probedFor asks once more where the broker fails itself (541): it does for a message to a quorum queue that is being deleted, or whose leader
// has died.
func probedFor[T any](ctx context.Context, s *session, doing string, look func(context.Context, *prober) (T, error)) (T, error) {
	found, err := probedOnce(ctx, s, doing, look)
	if code(err) == amqp.InternalError {
		found, err = probedOnce(ctx, s, doing, look)
	}
	return found, err
}

func probedOnce[T any](ctx context.Context, s *session, doing string, look func(context.Context, *prober) (T, error)) (T, error) {
	if err := s.openProbes(ctx); err != nil {
		var none T
		return none, err
	}
	probes := s.probes
	found, err := timedFor(ctx, s, doing, func(ctx context.Context) (T, error) { return look(ctx, probes) })
	if err != nil {
		s.dropTalk() // the answers may still come, and be taken for those to the next question
	}
	return found, err
}

func (s *session) openProbes(ctx context.Context) error {
	if err := s.openTalk(ctx); err != nil || s.probes != nil {
		return err
	}
	talk := s.talk
	if talk.blocked.Load() {
		return &alarmError{"memory or disk"}
	}
	probes, err := timedFor(ctx, s, "open a channel", func(context.Context) (*prober, error) { return newProber(talk) })
	if err != nil {
		s.dropTalk()
		return err
	}
	s.probes = probes
	return nil
}

// missing tells whether a queue is missing.
func (s *session) missing(ctx context.Context, queue string) (bool, error) {
	return probedFor(ctx, s, "look for queue "+queue, func(ctx context.Context, p *prober) (bool, error) {
		missing, err := p.probe(ctx, []string{queue})
		return err == nil && missing[0], err
	})
}
