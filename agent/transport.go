package agent

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/ferrule/ferrule/task"
)

// httpClient returns a client for one request of s: ramdisks are many and
// short-lived, so no connection to one is kept.
func (c *Client) httpClient(s Session) (*http.Client, error) {
	h := http.Client{}
	if c.HTTP != nil {
		h = *c.HTTP
	}
	h.CheckRedirect = sameHost
	if h.Transport == nil {
		// No proxy: the token is for the ramdisk alone.
		h.Transport = &http.Transport{DialContext: (&net.Dialer{Timeout: 20 * time.Second}).DialContext}
	}
	base, ok := h.Transport.(*http.Transport)
	switch {
	case !ok && s.VerifyCA != "":
		return nil, fmt.Errorf("%w: the HTTP client's Transport is a %T, which cannot be told to trust the ramdisk's certificate: use a *http.Transport", task.ErrUnsupported, h.Transport)
	case !ok:
		return &h, nil
	}
	tr := base.Clone()
	tr.DisableKeepAlives = true
	if s.VerifyCA != "" {
		conf, err := pinned(s.VerifyCA)
		if err != nil {
			return nil, err
		}
		tr.TLSClientConfig = conf
	}
	h.Transport = tr
	return &h, nil
}

// sameHost follows a redirect that keeps the request as it is, to where the
// token has been already: agents answer 308 where a slash is missing.
func sameHost(r *http.Request, via []*http.Request) error {
	first := via[0]
	status := r.Response.StatusCode
	switch {
	case len(via) > 3:
		return errors.New("too many redirects")
	case status != http.StatusPermanentRedirect && status != http.StatusTemporaryRedirect:
		return fmt.Errorf("redirect with HTTP status %d", status)
	case r.URL.Scheme != first.URL.Scheme || r.URL.Host != first.URL.Host:
		return errors.New("redirect to another host")
	}
	return nil
}

// pinned trusts the certificates in text and nothing else. Their dates do not
// count: the clock of a machine without an operating system is often wrong.
func pinned(text string) (*tls.Config, error) {
	certs, err := certificates(text)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(state tls.ConnectionState) error {
			for _, c := range certs {
				if len(state.PeerCertificates) > 0 && bytes.Equal(state.PeerCertificates[0].Raw, c.Raw) {
					return nil
				}
			}
			return errors.New("the certificate is not the one that the ramdisk announced")
		},
	}, nil
}

// certificates reads the certificates of a PEM text, one at least.
func certificates(text string) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%w: PEM with a %q where a certificate belongs", task.ErrInvalidParameter, excerpt(block.Type))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: certificate: %v", task.ErrInvalidParameter, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%w: no PEM certificate", task.ErrInvalidParameter)
	}
	return certs, nil
}
