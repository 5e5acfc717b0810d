package wire

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
)

// pemFiles reads each file once: it may be a pipe, and for several nodes.
type pemFiles map[string][]byte

func (f pemFiles) read(name string) ([]byte, error) {
	if text, known := f[name]; known {
		return text, nil
	}
	text, err := os.ReadFile(name)
	if err == nil {
		f[name] = text
	}
	return text, err
}

// pair is tls.LoadX509KeyPair.
func (f pemFiles) pair(cert, key string) (tls.Certificate, error) {
	certPEM, err := f.read(cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	keyPEM, err := f.read(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

// tlsConfig reads the certificates for one node. The files that are given come before
// those that its URL names. It is nil for amqp://.
func tlsConfig(
	uri amqp.URI, files pemFiles, authority, cert, key string,
) (*tls.Config, *fault.Error) {
	bad := func(hint, format string, args ...any) (*tls.Config, *fault.Error) {
		err := fault.Config(format, args...)
		err.Hint = hint
		return nil, err
	}
	if uri.Scheme != "amqps" {
		if uri.CACertFile+uri.CertFile+uri.KeyFile != "" {
			return bad("write amqps://", "broker URL: it names certificates and says amqp://")
		}
		return nil, nil
	}
	authority = cmp.Or(authority, uri.CACertFile)
	if cert == "" && key == "" {
		cert, key = uri.CertFile, uri.KeyFile
	}
	config := &tls.Config{
		ServerName: cmp.Or(uri.ServerName, uri.Host), MinVersion: tls.VersionTLS12,
	}
	if authority != "" {
		pem, err := files.read(authority)
		if err != nil {
			return bad("--cacert takes a PEM file", "certificate authority: %v", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return bad("it begins with -----BEGIN CERTIFICATE-----",
				"certificate authority: %s holds no certificate in PEM form", authority)
		}
	}
	switch {
	case cert == "" && key == "":
		return config, nil
	case key == "":
		return bad("name the file of its private key too: --key FILE",
			"client certificate: %s has no key", cert)
	case cert == "":
		return bad("name the file of the certificate too: --cert FILE",
			"client certificate: there is none for the key %s", key)
	}
	pair, err := files.pair(cert, key)
	if err != nil {
		return bad("both are PEM files, and the key has no passphrase",
			"client certificate %s with key %s: %v", cert, key, err)
	}
	// With Certificates it is sent only to a broker that names its authority. Another
	// broker would miss a certificate, instead of saying what is wrong with this one.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &pair, nil
	}
	return config, nil
}
