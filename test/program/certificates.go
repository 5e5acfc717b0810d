package program

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates for the test that made it. It writes all it makes as PEM
// files, which end with the test.
type Authority struct {
	// File has its own certificate.
	File string

	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority, whose name shows in its certificates.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir()}
	a.File, _ = a.sign(name, &x509.Certificate{
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	})
	return a
}

// Server makes a certificate for broker.test and 127.0.0.1.
func (a *Authority) Server(name string, expires time.Time) (cert, key string) {
	return a.sign(name, &x509.Certificate{
		NotAfter:    expires,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"broker.test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
}

// Client makes a certificate for a client called name.
func (a *Authority) Client(name string, expires time.Time) (cert, key string) {
	return a.sign(name, &x509.Certificate{
		NotAfter:    expires,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// sign completes the template; the first certificate is the authority's own.
func (a *Authority) sign(name string, template *x509.Certificate) (certFile, keyFile string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: name}
	template.NotBefore = time.Now().Add(-48 * time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = Tomorrow()
	}
	if a.cert == nil {
		a.cert, a.key = template, key
	}
	public, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	writePEM(a.t, certFile, "CERTIFICATE", public)
	writePEM(a.t, keyFile, "PRIVATE KEY", secret)
	return certFile, keyFile
}

func writePEM(t testing.TB, file, kind string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}),
		0o600); err != nil {
		t.Fatal(err)
	}
}

// Tomorrow is when a certificate expires that a test can use.
func Tomorrow() time.Time { return time.Now().Add(24 * time.Hour) }

// Yesterday is Tomorrow for an expired certificate.
func Yesterday() time.Time { return time.Now().Add(-24 * time.Hour) }
