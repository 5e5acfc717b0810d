package amqplock

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"
)

// tlsConfig reads the certificates for one broker; those that its URL names come after those of b. It is nil for amqp://.
func (b Broker) tlsConfig(uri amqp.URI) (*tls.Config, *Error) {
	bad := func(hint, format string, args ...any) (*tls.Config, *Error) {
		return nil, &Error{Kind: ErrConfig, Text: fmt.Sprintf(format, args...), Hint: hint}
	}
	if uri.Scheme != "amqps" {
		if uri.CACertFile+uri.CertFile+uri.KeyFile != "" {
			return bad("write amqps://", "broker URL: it names certificates and says amqp://")
		}
		return nil, nil
	}
	authority, cert, key := b.CACert, b.Cert, b.Key
	if authority == "" {
		authority = uri.CACertFile
	}
	if cert == "" && key == "" {
		cert, key = uri.CertFile, uri.KeyFile
	}
	config := &tls.Config{ServerName: uri.ServerName, MinVersion: tls.VersionTLS12}
	if config.ServerName == "" {
		config.ServerName = uri.Host
	}
	if authority != "" {
		pem, err := os.ReadFile(authority)
		if err != nil {
			return bad("a PEM file", "certificate authority: %v", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return bad("it begins with -----BEGIN CERTIFICATE-----", "certificate authority: %s holds no certificate in PEM form", authority)
		}
	}
	switch {
	case cert == "" && key == "":
		return config, nil
	case key == "":
		return bad("name the file of its private key too", "client certificate: %s has no key", cert)
	case cert == "":
		return bad("name the file of the certificate too", "client certificate: there is none for the key %s", key)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return bad("both are PEM files, and the key has no passphrase", "client certificate %s with key %s: %v", cert, key, err)
	}
	// With Certificates it would be sent only to who names its authority, and the broker would miss one instead of saying what is wrong with it.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return config, nil
}
