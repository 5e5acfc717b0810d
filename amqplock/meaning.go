package amqplock

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// This file is the one place that says what an answer of the broker means.

// verdict is what the answer to a check proves.
type verdict int

const (
	unknown verdict = iota // nothing: the lease runs
	held                   // the lock is ours
	lost                   // it is not
)

// code returns the AMQP reply code of err, or 0.
func code(err error) int {
	var e *amqp.Error
	if errors.As(err, &e) && e.Server {
		return e.Code
	}
	return 0
}

// ownership judges the passive declare of the own exclusive queue by its own connection.
func ownership(err error) verdict {
	switch {
	case err == nil:
		return held
	case code(err) == amqp.NotFound, code(err) == amqp.ResourceLocked: // gone; somebody else's
		return lost
	}
	return unknown // 403 after a change of permissions, a dead connection, ...
}

// slotStands judges basic.get on the slot's own queue. Of the texts of a 404 only "no queue" says that the slot was removed; "down or
// inaccessible", "crashed", "timeout" say that the broker cannot tell.
func slotStands(err error) verdict {
	switch {
	case err == nil:
		return held
	case absent(err):
		return lost
	}
	return unknown
}

// majority judges basic.get on the witness. No error answer proves that the lock is lost: a witness that does not exist is declared again.
func majority(err error) verdict {
	if err == nil {
		return held
	}
	return unknown
}

// concerns reports whether an answer of the broker is about queue: its texts name the queue in quotes.
func concerns(err error, queue string) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Server && strings.Contains(e.Reason, "'"+queue+"'")
}

// absent tells a queue that does not exist from one that cannot be reached.
func absent(err error) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Server && e.Code == amqp.NotFound && strings.Contains(e.Reason, "no queue")
}

// unreachable explains a failure to open the TCP connection.
func unreachable(ctx context.Context, broker string, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.Cause(ctx) // the caller's own reason to stop, not the broker's fault
	}
	return &Error{
		Kind: ErrUnreachable,
		Text: fmt.Sprintf("cannot reach the broker %s: %v", broker, err),
		Hint: "is RabbitMQ running there, and is the URL right?",
		Err:  err,
	}
}

func tlsError(broker string, err error) error {
	e := &Error{Kind: ErrUnreachable, Text: fmt.Sprintf("no secure connection to the broker %s: %v", broker, err), Err: err}
	var record tls.RecordHeaderError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	switch {
	case strings.Contains(err.Error(), "tls: certificate required"):
		e.Hint = "the broker wants a client certificate: --cert and --key"
	case errors.As(err, &record):
		e.Hint = "the port does not speak TLS: amqps is usually 5671, amqp 5672"
	case errors.As(err, &host):
		e.Hint = "connect by a name that is in the certificate"
	case errors.As(err, &authority):
		e.Hint = "name the CA file that signed the broker's certificate with --cacert"
	}
	return e
}

// handshakeError explains a failure between TCP and the open connection. RabbitMQ closes the socket without a word, three
// seconds late, when the password is wrong; amqp091-go makes ErrCredentials of it.
func handshakeError(ctx context.Context, broker string, uri amqp.URI, err error) error {
	var reply *amqp.Error
	errors.As(err, &reply)
	switch {
	case ctx.Err() != nil:
		return unreachable(ctx, broker, errors.New("no answer in time while logging in"))
	case errors.Is(err, amqp.ErrCredentials), code(err) == amqp.AccessRefused:
		return &Error{
			Kind: ErrAccess,
			Text: fmt.Sprintf("the broker %s refused the login of user %q", broker, uri.Username),
			Hint: "check user and password; percent-encode special characters in a URL; guest may only log in from the broker's own machine",
		}
	case errors.Is(err, amqp.ErrSASL):
		return &Error{Kind: ErrAccess, Text: fmt.Sprintf("the broker %s offers no login method that amqprun knows: %v", broker, err), Err: err}
	case code(err) == amqp.NotAllowed && strings.Contains(reply.Reason, "not found"):
		return &Error{
			Kind: ErrNotFound,
			Text: fmt.Sprintf("the broker %s has no virtual host %q", broker, uri.Vhost),
			Hint: "create it (rabbitmqctl add_vhost), or correct the part of the URL after the port",
		}
	case code(err) == amqp.NotAllowed && strings.Contains(reply.Reason, "access to vhost"):
		return &Error{
			Kind: ErrAccess,
			Text: fmt.Sprintf("the broker %s does not let user %q into virtual host %q", broker, uri.Username, uri.Vhost),
			Hint: "rabbitmqctl set_permissions -p VHOST USER CONFIGURE WRITE READ",
		}
	case reply != nil && strings.Contains(reply.Reason, "tls: "): // in TLS 1.3 the broker's verdict on us comes with the first read
		return tlsError(broker, err)
	case reply != nil && reply.Server: // a connection limit, a virtual host that is down, a node in maintenance
		return &Error{Kind: ErrUnreachable, Text: fmt.Sprintf("the broker %s turned the connection away: %v", broker, err), Err: err}
	}
	return unreachable(ctx, broker, err)
}

// refused explains why the broker did not do what was asked. It leaves nil, explained errors and the caller's own end of ctx as they are.
func refused(broker, doing string, err error) error {
	var known *Error
	text := fmt.Sprintf("cannot %s on %s", doing, broker)
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, errBusy), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{
			Kind: ErrUnreachable,
			Text: text + ": no answer in time",
			Hint: "the broker is overloaded, cut off from the majority of its cluster, or has a queue that does not come up: " +
				"see rabbitmqctl list_queues name state",
			Err: err,
		}
	case code(err) == amqp.AccessRefused:
		return &Error{
			Kind: ErrAccess,
			Text: fmt.Sprintf("%s: %v", text, err),
			Hint: "the user lacks a permission: see rabbitmqctl list_user_permissions, and the permissions named in the README",
			Err:  err,
		}
	}
	return &Error{Kind: ErrUnreachable, Text: fmt.Sprintf("%s: %s", text, oneLine(err)), Err: err}
}

// oneLine is the text of an error; what RabbitMQ prints of its own state when it fails goes over several lines.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// connectionLost gives the reason of a connection that ended by itself.
func connectionLost(why *amqp.Error) error {
	switch {
	case why == nil:
		return errors.New("the connection was closed")
	case why.Server:
		return fmt.Errorf("the broker closed the connection: %s (%d)", strings.Join(strings.Fields(why.Reason), " "), why.Code)
	}
	return fmt.Errorf("the connection broke: %s", why.Reason)
}
