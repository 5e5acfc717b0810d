package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
)

// Manual is where the pages are that hints lead to.
const Manual = "https://github.com/amqprun/amqprun/blob/main/docs/"

// Refused explains why the broker did not do what was asked. It leaves nil, explained
// errors and the caller's own end of ctx as they are.
func Refused(broker, doing string, err error) error {
	var known *fault.Error
	text := fmt.Sprintf("cannot %s on %s", doing, broker)
	switch {
	case err == nil, errors.As(err, &known),
		errors.Is(err, fault.ErrBusy), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return &fault.Error{
			Kind: fault.ErrUnreachable,
			Text: text + ": no answer in time",
			Hint: "the broker is overloaded, cut off from the majority of its cluster, or has a queue " +
				"that does not come up: see rabbitmqctl list_queues name state, and " +
				Manual + "how-to/troubleshooting.md#69-the-broker-cannot-be-reached",
			Err: err,
		}
	case Code(err) == amqp.AccessRefused:
		return &fault.Error{
			Kind: fault.ErrAccess,
			Text: fmt.Sprintf("%s: %v", text, err),
			Hint: "the user lacks a permission: see rabbitmqctl list_user_permissions, " +
				"and " + Manual + "how-to/permissions.md",
			Err: err,
		}
	}
	text = fmt.Sprintf("%s: %s", text, OneLine(err))
	return &fault.Error{Kind: fault.ErrUnreachable, Text: text, Hint: startHint(err), Err: err}
}

// startHint is for a quorum queue that was not started. RabbitMQ names its process after
// virtual host and queue, with %2F for a slash.
func startHint(err error) string {
	if !strings.Contains(err.Error(), "cluster_not_formed") {
		return ""
	}
	return `a quorum queue of this name may be in the way that is in a virtual host called alike: ` +
		`RabbitMQ takes "%2F" for "/"`
}

func refused(kind, err error, hint, format string, args ...any) *refusal {
	return &refusal{err: &fault.Error{
		Kind: kind, Text: fmt.Sprintf(format, args...), Hint: hint, Err: err,
	}}
}

// unreached is a refusal with the usual kind.
func unreached(err error, hint, format string, args ...any) *refusal {
	return refused(fault.ErrUnreachable, err, hint, format, args...)
}

// unreachable explains a failure to open the TCP connection.
func unreachable(ctx context.Context, broker string, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.Cause(ctx) // the caller's own reason to stop, not the broker's fault
	}
	hint := "is RabbitMQ running there, and is the URL right? " + Manual + "how-to/connecting.md"
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
		hint = "the name of the host is not known here: is it spelled right?"
	}
	return unreached(err, hint, "cannot reach the broker %s: %v", broker, err)
}

// tlsVerdicts are the failures of a TLS handshake that would come again, by what their
// text holds.
var tlsVerdicts = []struct{ holds, hint string }{
	{"tls: certificate required", "the broker wants a client certificate: --cert and --key"},
	{
		"tls: handshake failure",
		"the broker may want a client certificate (--cert and --key), or another kind of it",
	},
	{"tls: expired certificate", "the client certificate has expired: renew it"},
	{
		"tls: unknown certificate authority",
		"the broker does not trust who signed the client certificate: " +
			"add that to its ssl_options.cacertfile",
	},
	{"tls: bad certificate", "the broker does not accept the client certificate: its log says why"},
	{"tls: protocol version not supported", "amqprun speaks TLS 1.2 and 1.3"},
	{"tls: server selected unsupported protocol version", "amqprun speaks TLS 1.2 and 1.3"},
}

// tlsError explains a failure of TLS: what is wrong with a certificate, and what may
// pass, such as a broker that is just being stopped.
func tlsError(ctx context.Context, broker string, err error) error {
	if ctx.Err() != nil {
		return unreachable(ctx, broker, errors.New("no answer in time to the TLS handshake"))
	}
	hint := ""
	var record tls.RecordHeaderError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &record):
		hint = "the port does not speak TLS: amqps is usually 5671, amqp 5672"
	case errors.As(err, &host):
		hint = "connect by a name that is in the certificate, " +
			"or give that as server_name_indication in the URL"
	case errors.As(err, &authority):
		hint = "name the CA file that signed the broker's certificate with --cacert"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		hint = "renew the broker's certificate, or set the clock of this machine"
	case errors.As(err, &invalid):
		hint = "the broker needs another certificate"
	}
	for _, verdict := range tlsVerdicts {
		if strings.Contains(err.Error(), verdict.holds) {
			hint = verdict.hint
		}
	}
	final := hint != ""
	if !final {
		hint = "the broker may be starting or stopping: see its log"
	}
	e := unreached(err, hint, "no secure connection to the broker %s: %s", broker, OneLine(err))
	e.final = final
	return e
}

// handshakeError explains a failure between TCP and the open connection. amqp091-go takes
// a connection that ends without a reason for a refusal (ErrCredentials, ErrVhost), which
// it is not: see outspoken.
func handshakeError(ctx context.Context, at *node, err error) error {
	code, reason := Code(err), "" // the code is 0 unless the broker has answered
	if reply, ok := errors.AsType[*amqp.Error](err); ok {
		reason = reply.Reason
	}
	switch {
	case ctx.Err() != nil:
		return unreachable(ctx, at.label, errors.New("no answer in time while logging in"))
	case code == amqp.AccessRefused, errors.Is(err, amqp.ErrSASL):
		return loginError(at, err)
	case code == amqp.NotAllowed && strings.Contains(reason, "not found"):
		return refused(fault.ErrNotFound, nil,
			"create it (rabbitmqctl add_vhost), or correct the part of the URL after the port",
			"the broker %s has no virtual host %q", at.label, at.uri.Vhost)
	case code == amqp.NotAllowed && strings.Contains(reason, "access to vhost") &&
		!strings.Contains(reason, "connection limit"):
		return refused(fault.ErrAccess, nil,
			"rabbitmqctl set_permissions -p VHOST USER CONFIGURE WRITE READ: see "+
				Manual+"how-to/permissions.md",
			"the broker %s does not let %s into virtual host %q", at.label, at.user(), at.uri.Vhost)
	case code != 0: // a connection limit, a virtual host that is down, a node in maintenance
		return unreached(err, "", "the broker %s turned the connection away: %s", at.label, OneLine(err))
	case strings.Contains(err.Error(), "tls: "):
		// In TLS 1.3 the verdict on us comes with the first read.
		return tlsError(ctx, at.label, err)
	case strings.Contains(reason, "frame"): // what came was none of AMQP
		e := unreached(err, "the port may be another server's, or want TLS (amqps:// and usually 5671)",
			"cannot reach the broker %s: the server there does not speak AMQP", at.label)
		e.final = true
		return e
	case errors.Is(err, amqp.ErrCredentials), errors.Is(err, amqp.ErrVhost),
		strings.Contains(reason, "EOF"):
		return unreached(err,
			"it may be starting or stopping: see its log; "+
				"if the port wants TLS (usually 5671) write amqps://",
			"cannot reach the broker %s: it closed the connection before the login was done", at.label)
	}
	return unreachable(ctx, at.label, err)
}

// loginError explains a login that the broker refused or does not offer.
func loginError(at *node, err error) error {
	switch {
	case errors.Is(err, amqp.ErrSASL):
		hint := ""
		if at.external() {
			hint = "enable its plugin rabbitmq_auth_mechanism_ssl, or name a user in the URL"
		}
		return refused(fault.ErrAccess, nil, hint, "the broker %s does not offer the login method %s",
			at.label, strings.Join(at.mechanisms, ", "))
	case at.external():
		return refused(fault.ErrAccess, nil,
			"RabbitMQ takes the subject of the certificate for the name of the user, "+
				"or a part of it: see ssl_cert_login_from, and "+Manual+"how-to/connecting.md#tls",
			"the broker %s refused the login by certificate", at.label)
	}
	return refused(fault.ErrAccess, nil,
		"check user and password; percent-encode special characters in a URL; "+
			"guest may only log in from the broker's own machine: "+Manual+"how-to/connecting.md",
		"the broker %s refused the login of user %q", at.label, at.uri.Username)
}
