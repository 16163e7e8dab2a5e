package bmc

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/ferrule/ferrule/task"
)

// TLS says whom to take for the BMC. The zero value is for a certificate that the
// host's authorities signed.
type TLS struct {
	// Verify is "true" or "" for the host's authorities, the path of a file with
	// others in PEM form, or "false" for whoever answers.
	Verify string

	// Fingerprint is the SHA-256 of the BMC's certificate in hexadecimal, with
	// or without colons: that certificate and no other is the BMC's.
	Fingerprint string

	// Old allows versions and ciphers that are broken, for BMCs that have no
	// others.
	Old bool
}

var errFingerprint = errors.New("the certificate is not the one with the given fingerprint")

// Canonical returns t in the one form that all have which mean the same.
func (t TLS) Canonical() TLS {
	switch verify := strings.ToLower(t.Verify); verify {
	case "":
		t.Verify = "true"
	case "true", "false":
		t.Verify = verify
	}
	if t.Fingerprint != "" {
		t.Verify = ""
		t.Fingerprint = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(t.Fingerprint), ":", ""))
	}
	return t
}

// Config returns the settings for package crypto/tls. The error Is
// task.ErrInvalidParameter.
func (t TLS) Config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	switch strings.ToLower(t.Verify) {
	case "", "true":
	case "false":
		c.InsecureSkipVerify = true
	default:
		data, err := os.ReadFile(t.Verify)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", task.ErrInvalidParameter, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("%w: file %q has no certificate in PEM form", task.ErrInvalidParameter, t.Verify)
		}
	}
	if t.Fingerprint != "" {
		want, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(t.Fingerprint), ":", ""))
		if err != nil || len(want) != sha256.Size {
			return nil, fmt.Errorf("%w: a fingerprint is the SHA-256 of a certificate, 64 hexadecimal digits", task.ErrInvalidParameter)
		}
		c.InsecureSkipVerify = true // by the authorities: VerifyConnection is stricter
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) > 0 && sha256.Sum256(s.PeerCertificates[0].Raw) == [sha256.Size]byte(want) {
				return nil
			}
			return errFingerprint
		}
	}
	if t.Old {
		c.MinVersion = tls.VersionTLS10
		for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			c.CipherSuites = append(c.CipherSuites, s.ID)
		}
	}
	return c, nil
}

// requestTime is how long a BMC may take for one request, of which the slowest
// fetch an image before they answer.
const requestTime = 3 * time.Minute

// Client returns an HTTP client for one BMC. It follows no redirects, uses no
// proxy, speaks HTTP/1.1, and gives a request up after three minutes. Close its idle connections in the end.
func (t TLS) Client() (*http.Client, error) {
	c, err := t.Config()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout: requestTime,
		Transport: &http.Transport{
			TLSClientConfig:     c,
			TLSHandshakeTimeout: 20 * time.Second,
			IdleConnTimeout:     20 * time.Second,
			MaxIdleConnsPerHost: 2,
			Protocols:           http1(),
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func http1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}
