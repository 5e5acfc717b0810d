package wrapper

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tlsBroker starts a private broker that listens for TLS too. It returns both URLs and
// the file of the certificate to trust.
func tlsBroker(t *testing.T) (plain, url, cacert string) {
	t.Helper()
	dir := t.TempDir()
	cacert, key := certify(t, dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	conf := filepath.Join(dir, "conf")
	lines := fmt.Sprintf("listeners.ssl.local = %s\nnum_acceptors.ssl = 4\nssl_options.cacertfile = "+
		"%s\nssl_options.certfile = %s\nssl_options.keyfile = %s\nssl_options.verify = verify_none\n",
		address, cacert, cacert, key)
	if err := os.WriteFile(conf, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	const script = "../../scripts/broker"
	name := fmt.Sprintf("wrapper-tls-%d", os.Getpid())
	t.Cleanup(func() {
		if out, err := exec.Command(script, "stop", name).CombinedOutput(); err != nil {
			t.Errorf("stop the broker: %v: %s", err, out)
		}
	})
	start := exec.Command(script, "start", name)
	start.Env = append(os.Environ(), "BROKER_CONF="+conf)
	var stderr strings.Builder
	start.Stderr = &stderr
	out, err := start.Output()
	if err != nil {
		t.Fatalf("start a broker: %v: %s", err, stderr.String())
	}
	eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, "the TLS listener")
	return strings.TrimSpace(string(out)), "amqps://guest:guest@" + address + "/", cacert
}

// certify writes a certificate for 127.0.0.1 that is its own authority, and its key.
func certify(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "a broker under test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},

		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: public},
		key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
