package program

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TLSBroker starts a private broker that listens for TLS too, and stops it at the end of
// the test. It returns the URL of the plain listener and the address of the other. The
// broker has a certificate of servers. settings are further lines of its configuration;
// env is added to the environment of scripts/broker. A test binary uses each name once.
func TLSBroker(
	t testing.TB, name string, servers *Authority, settings string, env ...string,
) (plain, address string) {
	t.Helper()
	cert, key := servers.Server("server", Tomorrow())
	address = FreeAddress(t)
	conf := filepath.Join(t.TempDir(), "conf")
	lines := fmt.Sprintf("listeners.ssl.local = %s\nnum_acceptors.ssl = 4\n"+
		"ssl_options.certfile = %s\nssl_options.keyfile = %s\n%s", address, cert, key, settings)
	if err := os.WriteFile(conf, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Broker(t, nil, "stop", name) })
	plain = Broker(t, append(env, "BROKER_CONF="+conf), "start", name)
	for deadline := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return plain, address
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
