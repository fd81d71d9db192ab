package integration

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"time"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// clerkConfig is the section `clerk` of the configuration: one instance, which all clients share.
type clerkConfig struct {
	// URL is the base of the Backend API, with its version.
	URL string `yaml:"url,omitempty"`
	// SecretKeyFile holds the instance's secret key, sk_live_… or sk_test_…. It is read again on reload.
	SecretKeyFile string `yaml:"secret_key_file"`
	// APIVersion is the date that is sent as Clerk-API-Version.
	APIVersion string `yaml:"api_version,omitempty"`
	// Issuer is who issues session tokens: the Frontend API's address. A token of any other issuer is not accepted by our own
	// verification.
	Issuer string `yaml:"issuer,omitempty"`
	// AuthorizedParties are the origins whose tokens the platform accepts (claim azp).
	AuthorizedParties []string `yaml:"authorized_parties,omitempty"`
	// ProbeSession is the session of a test user, for which tokens are created. Empty: tokens are not checked.
	ProbeSession string `yaml:"probe_session,omitempty"`
	// ForeignSession is a session whose tokens carry a party that is not authorized. Empty: see the documentation.
	ForeignSession string `yaml:"foreign_session,omitempty"`
	// VerifyURL is an address of the platform that takes a session token as a bearer token, verifies it as the platform does, and
	// answers 2xx when it accepts it. Empty: tokens are verified with Clerk's own library.
	VerifyURL string `yaml:"verify_url,omitempty"`
	// RefusedStatus are the status codes with which VerifyURL rejects a token. Any other but 2xx is no verdict.
	RefusedStatus []int `yaml:"refused_status,omitempty"`
	// AllowHTTP allows addresses without TLS to other hosts than this one: the key then travels in the clear.
	AllowHTTP bool                    `yaml:"allow_http,omitempty"`
	TLS       *commonconfig.TLSConfig `yaml:"tls,omitempty"`
	// ExpiryMargin is how long after its end a token may still be accepted, for clocks that differ.
	ExpiryMargin yamlfile.Duration `yaml:"expiry_margin,omitempty"`
	// Interval and Timeout are those of the keys and the counts of users, TokenInterval that of the token check.
	Interval      yamlfile.Duration `yaml:"interval,omitempty"`
	Timeout       yamlfile.Duration `yaml:"timeout,omitempty"`
	TokenInterval yamlfile.Duration `yaml:"token_interval,omitempty"`
}

const (
	defaultClerkURL        = "https://api.clerk.com/v1"
	defaultClerkAPIVersion = "2025-04-10" // the one that Clerk's own Go library asks for
)

// fill sets what the file leaves open.
func (c *clerkConfig) fill() {
	if c.URL == "" {
		c.URL = defaultClerkURL
	}
	if c.APIVersion == "" {
		c.APIVersion = defaultClerkAPIVersion
	}
	if len(c.RefusedStatus) == 0 {
		c.RefusedStatus = []int{401, 403}
	}
	if c.ExpiryMargin == 0 {
		c.ExpiryMargin = yamlfile.Duration(time.Minute)
	}
	if c.Interval == 0 {
		c.Interval = yamlfile.Duration(time.Minute)
	}
	if c.Timeout == 0 {
		c.Timeout = min(yamlfile.Duration(15*time.Second), c.Interval)
	}
	if c.TokenInterval == 0 {
		c.TokenInterval = max(yamlfile.Duration(time.Minute), c.Interval)
	}
}

// resolve makes paths relative to the folder of the configuration file.
func (c *clerkConfig) resolve(join func(path *string)) {
	join(&c.SecretKeyFile)
	resolveTLS(c.TLS, join)
}

var (
	clerkDate = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
	// A session's name stands in the path of a request.
	clerkSession = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)
)

// check says what cannot be right. It is called after fill.
func (c *clerkConfig) check(f *yamlfile.File) error {
	switch {
	case !isWebAddress(c.URL):
		return f.Errorf("clerk.url", "is not an address like %s, without user, query and fragment", defaultClerkURL)
	case !c.AllowHTTP && isClear(c.URL):
		return f.Errorf("clerk.url", "is not https: the key would travel in the clear (allow_http: true allows it)")
	case c.SecretKeyFile == "":
		return f.Errorf("clerk.secret_key_file", "is missing: the path of a file with the instance's secret key")
	case !clerkDate.MatchString(c.APIVersion):
		return f.Errorf("clerk.api_version", "%q is not a date like %s", c.APIVersion, defaultClerkAPIVersion)
	case c.ProbeSession != "" && !clerkSession.MatchString(c.ProbeSession):
		return f.Errorf("clerk.probe_session", "is not the name of a session, like sess_2abc")
	case c.ForeignSession != "" && !clerkSession.MatchString(c.ForeignSession):
		return f.Errorf("clerk.foreign_session", "is not the name of a session, like sess_2abc")
	case c.ForeignSession != "" && c.ForeignSession == c.ProbeSession:
		return f.Errorf("clerk.foreign_session", "must be another session than probe_session: one whose party is not authorized")
	case c.ProbeSession == "" && (c.ForeignSession != "" || c.VerifyURL != ""):
		return f.Errorf("clerk.probe_session", "is missing: without it no token can be checked")
	case c.VerifyURL != "" && !isWebAddress(c.VerifyURL):
		return f.Errorf("clerk.verify_url", "is not an address like https://example.com/api/session, without user, query and fragment")
	case c.VerifyURL != "" && !c.AllowHTTP && isClear(c.VerifyURL):
		return f.Errorf("clerk.verify_url", "is not https: tokens would travel in the clear (allow_http: true allows it)")
	case c.ProbeSession != "" && c.Issuer == "":
		return f.Errorf("clerk.issuer", "is missing: the Frontend API's address, like https://clerk.example.com")
	case c.Issuer != "" && !isWebAddress(c.Issuer):
		return f.Errorf("clerk.issuer", "is not an address like https://clerk.example.com")
	case c.ProbeSession != "" && len(c.AuthorizedParties) == 0:
		return f.Errorf("clerk.authorized_parties", "is missing: the origins whose tokens the platform accepts, like https://app.example.com")
	case c.ProbeSession != "" && c.Timeout > yamlfile.Duration(maxTokenTimeout):
		return f.Errorf("clerk.timeout", "cannot be longer than %s: a token lives for a minute, and is checked while it does", maxTokenTimeout)
	case c.ExpiryMargin < 0:
		return f.Errorf("clerk.expiry_margin", "cannot be negative")
	case c.TokenInterval < c.Timeout:
		return f.Errorf("clerk.token_interval", "cannot be shorter than the timeout of %s", c.Timeout)
	}
	for i, status := range c.RefusedStatus {
		if status < 300 || status > 499 || status == 408 || status == 429 {
			return f.Errorf(fmt.Sprintf("clerk.refused_status.%d", i), "%d does not refuse a token: give status codes from 300 to 499, without 408 and 429", status)
		}
	}
	for i, party := range c.AuthorizedParties {
		if party == "" || slices.Contains(c.AuthorizedParties[:i], party) {
			return f.Errorf(fmt.Sprintf("clerk.authorized_parties.%d", i), "%q is empty or there twice", party)
		}
	}
	return checkTiming(f, "clerk", c.Interval, c.Timeout)
}

func (c *clerkConfig) schedule(interval yamlfile.Duration) exporter.Schedule {
	return exporter.Schedule{Interval: time.Duration(interval), Timeout: time.Duration(c.Timeout), MaxAge: 5 * time.Duration(interval)}
}

// isWebAddress reports whether an address can have a path added, and holds no secret.
func isWebAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// isClear reports whether a secret would travel to an address in the clear, and to another host.
func isClear(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "http" && !isLoopback(u.Hostname())
}

// resolveTLS is for a configuration of TLS, if there is one.
func resolveTLS(t *commonconfig.TLSConfig, join func(path *string)) {
	if t != nil {
		for _, path := range []*string{&t.CAFile, &t.CertFile, &t.KeyFile} {
			join(path)
		}
	}
}

// clientTLS is nil without a TLS configuration.
func clientTLS(t *commonconfig.TLSConfig) (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	return commonconfig.NewTLSConfig(t)
}

// checkTiming checks an interval and a timeout, after the defaults were set.
func checkTiming(f *yamlfile.File, section string, interval, timeout yamlfile.Duration) error {
	switch {
	case interval < 0:
		return f.Errorf(section+".interval", "cannot be negative")
	case timeout < 0:
		return f.Errorf(section+".timeout", "cannot be negative")
	case timeout > interval:
		return f.Errorf(section+".timeout", "cannot be longer than the interval of %s", interval)
	}
	return nil
}
