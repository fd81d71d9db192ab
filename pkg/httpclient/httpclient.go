// Package httpclient makes HTTP clients of Prometheus' HTTP client configuration, and makes package secret know all that is secret
// in it: a server or a proxy may repeat what it was sent. It sends no request itself.
package httpclient

import (
	"encoding/base64"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/pkg/secret"
)

// New makes a client. The name is the client's in messages.
func New(c commonconfig.HTTPClientConfig, name string) (*http.Client, error) {
	register(&c)
	client, err := commonconfig.NewClientFromConfig(c, name)
	if err != nil {
		return nil, err
	}
	client.Transport = &transport{c, client.Transport}
	return client, nil
}

// transport registers the secrets of each request before it is sent.
type transport struct {
	config commonconfig.HTTPClientConfig
	next   http.RoundTripper
}

// RoundTrip registers the configuration's secrets anew, because their files are read for each request, and what is sent as
// Authorization, because an OAuth2 token is in no configuration.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	register(&t.config)
	registerUser(r.URL)
	trace := &httptrace.ClientTrace{WroteHeaderField: func(name string, values []string) {
		if !strings.EqualFold(name, "Authorization") {
			return
		}
		for _, value := range values {
			_, credentials, _ := strings.Cut(value, " ")
			secret.Register(credentials)
		}
	}}
	return t.next.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
}

// CloseIdleConnections closes the connections that no request uses.
func (t *transport) CloseIdleConnections() {
	if next, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

func register(c *commonconfig.HTTPClientConfig) {
	if b := c.BasicAuth; b != nil {
		registerBasic(read(commonconfig.Secret(b.Username), b.UsernameFile), read(b.Password, b.PasswordFile))
	}
	if a := c.Authorization; a != nil {
		secret.Register(read(a.Credentials, a.CredentialsFile))
	}
	secret.Register(read(c.BearerToken, c.BearerTokenFile))
	if o := c.OAuth2; o != nil {
		password := read(o.ClientSecret, o.ClientSecretFile)
		registerBasic(o.ClientID, password)
		registerBasic(url.QueryEscape(o.ClientID), url.QueryEscape(password)) // as OAuth2 has it
		secret.Register(read(o.ClientCertificateKey, o.ClientCertificateKeyFile))
		registerConnection(&o.TLSConfig, &o.ProxyConfig)
	}
	if c.HTTPHeaders != nil {
		for _, header := range c.HTTPHeaders.Headers {
			for _, s := range header.Secrets {
				secret.Register(string(s))
			}
			for _, file := range header.Files {
				secret.Register(read("", file))
			}
		}
	}
	registerConnection(&c.TLSConfig, &c.ProxyConfig)
}

func registerConnection(t *commonconfig.TLSConfig, p *commonconfig.ProxyConfig) {
	secret.Register(string(t.Key))
	registerUser(p.ProxyURL.URL)
	for _, values := range p.ProxyConnectHeader {
		for _, s := range values {
			secret.Register(string(s))
		}
	}
}

func registerUser(u *url.URL) {
	if u == nil || u.User == nil {
		return
	}
	password, _ := u.User.Password()
	registerBasic(u.User.Username(), password)
}

// registerBasic registers a password as it is and as basic authentication sends it.
func registerBasic(user, password string) {
	if password == "" {
		return
	}
	secret.Register(password)
	secret.Register(base64.StdEncoding.EncodeToString([]byte(user + ":" + password)))
}

// read returns a secret from the configuration, or from its file. A file that cannot be read is an error of the request.
func read(inline commonconfig.Secret, file string) string {
	if file == "" {
		return string(inline)
	}
	text, _ := os.ReadFile(file)
	return strings.TrimSpace(string(text))
}
