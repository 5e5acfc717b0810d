package wire

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
)

// A failure before there is a connection is reported with what to do about it. A real
// broker shows the rest of these texts.
func TestTextsOfConnecting(t *testing.T) {
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	now := t.Context()
	plain := &node{label: "amqp://h:5672", mechanisms: []string{"plain"}}
	external := &node{label: "amqps://h:5671", mechanisms: []string{"external"}}
	const insecure = "no secure connection to the broker amqps://h:5671: "
	for _, c := range []struct {
		name       string
		err        error
		text, hint string
	}{
		{
			"no such host", unreachable(now, "amqp://h:5672", &net.DNSError{Err: "no such host", Name: "h"}),
			"cannot reach the broker amqp://h:5672: lookup h: no such host",
			"the name of the host is not known here: is it spelled right?",
		},
		{
			"slow handshake", tlsError(late, "amqps://h:5671", errors.New("x")),
			"cannot reach the broker amqps://h:5671: no answer in time to the TLS handshake",
			"is RabbitMQ running there",
		},
		{
			"slow login", handshakeError(late, plain, errors.New("x")),
			"cannot reach the broker amqp://h:5672: no answer in time while logging in",
			"is RabbitMQ running there",
		},
		{
			"no login by password", handshakeError(now, plain, amqp.ErrSASL),
			"the broker amqp://h:5672 does not offer the login method plain",
			"",
		},
		{
			"no login by certificate", handshakeError(now, external, amqp.ErrSASL),
			"the broker amqps://h:5671 does not offer the login method external",
			"enable its plugin rabbitmq_auth_mechanism_ssl, or name a user in the URL",
		},
		{
			"certificate for another use",
			tlsError(now, "amqps://h:5671", x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}),
			insecure,
			"the broker needs another certificate",
		},
		{
			"no common ground",
			tlsError(now, "amqps://h:5671", errors.New("remote error: tls: handshake failure")),
			insecure + "remote error: tls: handshake failure",
			"the broker may want a client certificate (--cert and --key), or another kind of it",
		},
		{
			"bad certificate",
			tlsError(now, "amqps://h:5671", errors.New("remote error: tls: bad certificate")),
			insecure + "remote error: tls: bad certificate",
			"the broker does not accept the client certificate: its log says why",
		},
		{
			"certificates without TLS", urlError(t, Broker{URLs: []string{"amqp://h/?cacertfile=/ca.pem"}}),
			"broker URL: it names certificates and says amqp://",
			"write amqps://",
		},
		{
			"no password", urlError(t, Broker{URLs: []string{"amqp://ci@h/"}}),
			`broker URL: there is no password for user "ci"`,
			"amqp://USER:PASSWORD@HOST/, or --password-file FILE",
		},
		{
			"virtual hosts called alike",
			Refused("h", "create queue x", &amqp.Error{
				Server: true, Code: amqp.InternalError, Reason: "Cannot declare quorum queue 'x' " +
					"in vhost '/' on node 'a' with leader on node 'a': cluster_not_formed",
			}),
			"cannot create queue x on h: ",
			"a quorum queue of this name may be in the way",
		},
		{
			"needless password", urlError(t, Broker{URLs: []string{"amqp://ci:x@h/"}, Password: "y"}),
			"a password is given, and no broker URL has a user without a password",
			"leave out --password-file (AMQPRUN_PASSWORD_FILE), or write the URL as amqp://USER@HOST/",
		},
	} {
		var failure *fault.Error
		if !errors.As(c.err, &failure) {
			t.Errorf("%s: %v", c.name, c.err)
			continue
		}
		if !strings.HasPrefix(failure.Text, c.text) || !strings.HasPrefix(failure.Hint, c.hint) ||
			(failure.Hint == "") != (c.hint == "") {
			t.Errorf("%s: %q, hint %q; want %q, hint %q", c.name, failure.Text, failure.Hint, c.text, c.hint)
		}
	}
}

func urlError(t *testing.T, b Broker) error {
	t.Helper()
	_, err := b.resolve()
	if err == nil {
		t.Error("no error")
	}
	return err
}
