package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/program"
)

// password is in every URL of these tests, and in no output.
const password = "sEcReT"

// tlsBroker is a private RabbitMQ that listens for TLS, trusts clients, and lets user
// "certified" log in by certificate and by password.
type tlsBroker struct {
	clients *program.Authority
	servers *program.Authority
	name    string
	address string // of the TLS listener
	plain   string // URL of the other
}

func startTLSBroker(t *testing.T) *tlsBroker {
	t.Helper()
	program.LockName(t) // or skip: no broker is wanted
	b := &tlsBroker{
		clients: program.NewAuthority(t, "clients"), servers: program.NewAuthority(t, "servers"),
		name: fmt.Sprintf("cli-tls-%d", os.Getpid()),
	}
	settings := "ssl_options.cacertfile = " + b.clients.File + `
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
ssl_cert_login_from = common_name
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = AMQPLAIN
auth_mechanisms.3 = EXTERNAL
`
	b.plain, b.address = program.TLSBroker(t, b.name, b.servers, settings,
		"BROKER_PLUGINS=rabbitmq_auth_mechanism_ssl")
	program.Broker(t, nil, "ctl", "-n", b.name, "-q", "add_user", "certified", password)
	program.Broker(t, nil, "ctl", "-n", b.name, "-q", "set_permissions", "certified",
		".*", ".*", ".*")
	return b
}

// trust has the broker accept the clients of another authority.
func (b *tlsBroker) trust(t *testing.T, other *program.Authority) {
	t.Helper()
	pem, err := os.ReadFile(other.File)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(b.clients.File, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.Write(pem)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	program.Broker(t, nil, "eval", b.name, "ssl:clear_pem_cache().")
}

// noTLS begins an error about TLS.
const noTLS = `no secure connection to the broker \S+: tls: `

// attempt is a run at a broker, and what it says.
type attempt struct {
	name  string
	url   string
	args  []string
	env   []string
	code  int
	error string // a pattern; empty: success
	hint  string
	final bool // it is not tried again, also without -n
	// mended is the attempt that does what the hint says. Nil: the hint has no such thing.
	mended *attempt
}

func (a attempt) test(t *testing.T) {
	t.Helper()
	t.Parallel()
	args := []string{"-v", "--mutex", program.LockName(t)}
	if !a.final {
		args = append(args, "-n")
	}
	args = append(append(args, a.args...), "echo", "ran")
	got := program.Run(t, append([]string{"AMQPRUN_URL=" + a.url}, a.env...), args...)
	if strings.Contains(got.Stdout+got.Stderr, password) {
		t.Errorf("the password is shown: %s", got.Stderr)
	}
	if got.Code != a.code || (got.Stdout == "ran\n") != (a.error == "") {
		t.Errorf("status %d, want %d; stdout %q, stderr %s", got.Code, a.code, got.Stdout, got.Stderr)
	}
	if a.error == "" {
		return
	}
	want := regexp.MustCompile("(?m)^amqprun: error: " + a.error + "\namqprun: hint: " + a.hint + "$")
	if !want.MatchString(got.Stderr) {
		t.Errorf("got %s, want %s", got.Stderr, want)
	}
	if strings.Contains(got.Stderr, "trying again") {
		t.Errorf("what would fail again is tried again: %s", got.Stderr)
	}
}

func (a attempt) testWithDoctor(t *testing.T) {
	a.test(t)
	a.doctor(t)
}

// doctor finds the same as a run, and finds nothing any more when that is mended.
func (a attempt) doctor(t *testing.T) {
	t.Helper()
	got := program.Run(t, append([]string{"AMQPRUN_URL=" + a.url}, a.env...),
		append([]string{"doctor"}, a.args...)...)
	want := "(?m)^ok +broker "
	switch {
	case a.error != "" && a.code == 64:
		want = "(?m)^amqprun: error: " + a.error + "\namqprun: hint: " + a.hint + "$"
	case a.error != "":
		want = "(?m)^failure +broker +" + a.error + "; to do: " + a.hint + "$"
	}
	if got.Code != a.code || !regexp.MustCompile(want).MatchString(got.Stdout+got.Stderr) {
		t.Errorf("doctor: status %d, want %d and %s\n%s%s", got.Code, a.code, want,
			got.Stdout, got.Stderr)
	}
	if strings.Contains(got.Stdout+got.Stderr, password) {
		t.Errorf("doctor shows the password: %s%s", got.Stdout, got.Stderr)
	}
	if a.mended != nil {
		a.mended.doctor(t)
	}
}

// TestTLS: what works, and each way in which it does not.
func TestTLS(t *testing.T) {
	t.Parallel()
	b := startTLSBroker(t)
	base := "amqps://certified:" + password + "@" + b.address + "/"
	nobody := "amqps://" + b.address + "/"
	ca := []string{"--cacert", b.servers.File}
	with := func(cert, key string) []string {
		return append([]string{"--cert", cert, "--key", key},
			ca...)
	}
	good := with(b.clients.Client("certified", program.Tomorrow()))
	untrusted := with(b.clients.Client("untrusted", program.Tomorrow()))
	old := with(b.clients.Client("expired", program.Yesterday()))
	others := program.NewAuthority(t, "others")
	foreign := with(others.Client("certified", program.Tomorrow()))
	_, otherKey := b.clients.Client("other", program.Tomorrow())
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no PEM\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(b.address)
	known := &attempt{url: base, args: ca}
	certified := &attempt{url: nobody, args: good}
	cannot := "no secure connection to the broker amqps://" + regexp.QuoteMeta(b.address) + ": "
	attempts := []attempt{
		{name: "password", url: base, args: ca},
		{name: "the CA in the URL", url: base + "?cacertfile=" + b.servers.File},
		{name: "certificate and password", url: base, args: good},
		{name: "certificate alone", url: nobody, args: good},
		{name: "certificate, named in the environment", url: nobody,
			env: []string{"AMQPRUN_CERT=" + good[1], "AMQPRUN_KEY=" + good[3], "AMQPRUN_CACERT=" +
				b.servers.File}},
		{name: "certificate, named in the URL", url: nobody + "?auth_mechanism=external&certfile=" +
			good[1] + "&keyfile=" + good[3], args: ca},
		{name: "amqplain", url: base + "?auth_mechanism=amqplain", args: ca},
		{name: "another name of the server", url: "amqps://certified:" + password + "@localhost:" +
			port + "/?server_name_indication=broker.test", args: ca},

		{name: "wrong host", final: true, url: "amqps://certified:" + password + "@localhost:" + port +
			"/", args: ca, code: 69,
			error: `no secure connection to the broker amqps://localhost:\d+: ` +
				"tls: failed to verify certificate: x509: " +
				"certificate is valid for broker.test, not localhost",
			hint: "connect by a name that is in the certificate, " +
				"or give that as server_name_indication in the URL",
			mended: &attempt{url: "amqps://certified:" + password + "@localhost:" + port +
				"/?server_name_indication=broker.test", args: ca}},
		{name: "unknown authority", final: true, url: base, code: 69,
			error: cannot + "tls: failed to verify certificate: x509: " +
				"certificate signed by unknown authority.*",
			hint:   "name the CA file that signed the broker's certificate with --cacert",
			mended: known},
		{name: "plain port", final: true, url: "amqps" + strings.TrimPrefix(b.plain, "amqp"), args: ca,
			code:  69,
			error: noTLS + `first record does not look like a TLS handshake`,
			hint:  "the port does not speak TLS: amqps is usually 5671, amqp 5672", mended: known},
		{name: "TLS port without TLS", url: "amqp" + strings.TrimPrefix(base, "amqps"), code: 69,
			error: `cannot reach the broker \S+: (it closed the connection before the login was done|` +
				`the server there does not speak AMQP)`,
			hint: ".*TLS.*amqps://.*", mended: known},
		{name: "certificate of nobody", final: true, url: nobody, args: untrusted, code: 77,
			error: "the broker amqps://" + b.address + " refused the login by certificate",
			hint:  ".*ssl_cert_login_from.*", mended: certified},
		{name: "expired certificate of the client", final: true, url: nobody, args: old, code: 69,
			error: cannot + ".*tls: expired certificate.*",
			hint:  "the client certificate has expired: renew it", mended: certified},
		{name: "a client certificate that the broker does not trust", final: true, url: nobody,
			args: foreign, code: 69,
			error: cannot + ".*tls: unknown certificate authority.*",
			hint:  "the broker does not trust who signed the client certificate: .*"},
		{name: "wrong password", final: true, url: strings.Replace(base, password, "wrong", 1), args: ca,
			code:  77,
			error: `the broker \S+ refused the login of user "certified"`,
			hint:  "check user and password; .*", mended: known},

		{name: "no such CA file", final: true, url: base, args: []string{"--cacert", "/nowhere.pem"},
			code:  64,
			error: "certificate authority: open /nowhere.pem: no such file or directory",
			hint:  "--cacert takes a PEM file", mended: known},
		{name: "a CA file that is none", final: true, url: base, args: []string{"--cacert", text},
			code:  64,
			error: "certificate authority: " + text + " holds no certificate in PEM form",
			hint:  "it begins with -----BEGIN CERTIFICATE-----", mended: known},
		{name: "certificate without key", final: true, url: base, args: append(ca, "--cert", good[1]),
			code:  64,
			error: "client certificate: " + good[1] + " has no key",
			hint:  "name the file of its private key too: --key FILE", mended: certified},
		{name: "key without certificate", final: true, url: base, args: append(ca, "--key", good[3]),
			code:  64,
			error: "client certificate: there is none for the key " + good[3],
			hint:  "name the file of the certificate too: --cert FILE", mended: certified},
		{name: "certificate that is none", final: true, url: base, args: with(text, good[3]), code: 64,
			error: "client certificate " + text + " with key .*: " +
				"tls: failed to find any PEM data in certificate input",
			hint: "both are PEM files, and the key has no passphrase", mended: certified},
		{name: "another's key", final: true, url: base, args: with(good[1], otherKey), code: 64,
			error: "client certificate .*: tls: private key does not match public key",
			hint:  "both are PEM files, .*"},
		{name: "no such certificate", final: true, url: base, args: with("/nowhere.pem", good[3]),
			code: 64,
			error: "client certificate /nowhere.pem with key .*: " +
				"open /nowhere.pem: no such file or directory",
			hint: "both are PEM files, .*"},
		{name: "certificates without TLS", final: true, url: b.plain, args: good, code: 64,
			error:  "certificates are given, and no broker URL begins with amqps://",
			hint:   `write amqps:// for --cacert, --cert and --key; .*AMQPRUN_CACERT.*`,
			mended: certified},
	}
	t.Run("attempts", func(t *testing.T) {
		for _, a := range attempts {
			t.Run(a.name, a.testWithDoctor)
		}
	})
	// "add that to its ssl_options.cacertfile". The broker has read that file before.
	b.trust(t, others)
	attempt{url: nobody, args: foreign}.doctor(t)
}

// TestCertificatesAreReadOnce: they may come out of a pipe.
func TestCertificatesAreReadOnce(t *testing.T) {
	t.Parallel()
	authority, cmd := program.NewAuthority(t, "authority").File, program.Path(t)
	for what, command := range map[string]string{
		"": "true", "hold": "", "status": "", "doctor": "",
	} {
		out, err := exec.Command("bash", "-c", `"$0" $2 --cacert <(cat "$1") --mutex m `+
			"--url 'amqps://u:p@127.0.0.1:1 amqps://u:p@127.0.0.1:2' --connect-timeout 1 "+command,
			cmd, authority, what).CombinedOutput()
		if !strings.Contains(string(out), "connection refused") {
			t.Errorf("%s: %v: %s", what, err, out)
		}
	}
}

// TestTLSOfOthers: servers that no RabbitMQ of ours would be, up to the point where it
// does not matter that they are not.
func TestTLSOfOthers(t *testing.T) {
	t.Parallel()
	program.LockName(t)
	ours := program.NewAuthority(t, "authority")
	ca := []string{"--cacert", ours.File}
	pem, err := os.ReadFile(ours.File)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	verified := tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	broker, err := url.Parse(os.Getenv("AMQPRUN_URL"))
	if err != nil {
		t.Fatal(err)
	}
	closes := func(expires time.Time, config *tls.Config) string {
		return "amqps://u:" + password + "@" + listenTLS(t, ours, expires, config, "") + "/"
	}
	passes := func(config *tls.Config) string {
		through := *broker
		through.Scheme = "amqps"
		through.Host = listenTLS(t, ours, program.Tomorrow(), config, broker.Host)
		return through.String()
	}
	cert, key := ours.Client("client", program.Tomorrow())
	for _, a := range []attempt{
		{name: "expired", final: true, url: closes(program.Yesterday(), &tls.Config{}),
			args: ca, code: 69,
			error: noTLS + `failed to verify certificate: ` +
				`x509: certificate has expired or is not yet valid: .*`,
			hint:   "renew the broker's certificate, or set the clock of this machine",
			mended: &attempt{url: passes(&tls.Config{}), args: ca}},
		{name: "client certificate wanted", final: true,
			url: closes(program.Tomorrow(), verified.Clone()), args: ca, code: 69,
			error: `no secure connection to the broker \S+: .*tls: certificate required.*`,
			hint:  "the broker wants a client certificate: --cert and --key",
			mended: &attempt{url: passes(verified.Clone()),
				args: append([]string{"--cert", cert, "--key", key}, ca...)}},
		{name: "TLS 1.1", final: true, url: closes(program.Tomorrow(),
			&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), args: ca, code: 69,
			error: `no secure connection to the broker \S+: .*tls: .*protocol version.*`,
			hint:  "amqprun speaks TLS 1.2 and 1.3",
			mended: &attempt{args: ca, url: passes(
				&tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12})}},
		{name: "closes after the handshake", url: closes(program.Tomorrow(), &tls.Config{}),
			args: ca, code: 69,
			error: `cannot reach the broker \S+: it closed the connection before the login was done`,
			hint:  "it may be starting or stopping: .*"},
	} {
		t.Run(a.name, a.testWithDoctor)
	}
}

// listenTLS starts a server that ends with the test. It passes connections on to the
// address behind it. Where that is empty it closes them after the handshake.
func listenTLS(
	t *testing.T, ours *program.Authority, expires time.Time, config *tls.Config, behind string,
) (address string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(ours.Server(fmt.Sprint("server", time.Now().UnixNano()),
		expires))
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = []tls.Certificate{pair}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	pass := func(client net.Conn) {
		defer client.Close()
		header := make([]byte, 8)
		_, err := io.ReadFull(client, header) // which does the handshake first
		if err != nil || behind == "" {
			return
		}
		server, err := net.Dial("tcp", behind)
		if err != nil {
			return
		}
		_, _ = server.Write(header)
		go func() {
			defer server.Close()
			_, _ = io.Copy(server, client)
		}()
		_, _ = io.Copy(client, server)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go pass(conn)
		}
	}()
	return l.Addr().String()
}
