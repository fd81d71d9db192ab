package clerk

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Config is the section `clerk` of the configuration: one instance, which all clients share.
type Config struct {
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
	// VerifyExempt says that the platform leaves the tokens of this exporter out of its violations and its counts of tokens.
	VerifyExempt bool `yaml:"verify_exempt,omitempty"`
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
	defaultURL        = "https://api.clerk.com/v1"
	defaultAPIVersion = "2025-04-10" // the one that Clerk's own Go library asks for
)

// Fill sets the defaults of what is not set.
func (c *Config) Fill() {
	if c.URL == "" {
		c.URL = defaultURL
	}
	if c.APIVersion == "" {
		c.APIVersion = defaultAPIVersion
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

// SetDirectory makes paths relative to a folder.
func (c *Config) SetDirectory(dir string) {
	c.SecretKeyFile = commonconfig.JoinDir(dir, c.SecretKeyFile)
	c.TLS.SetDirectory(dir)
}

var (
	apiDate = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
	// A session's name stands in the path of a request.
	sessionName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)
)

// Check reports the first mistake. It is called after Fill.
func (c *Config) Check(f *yamlfile.File) error {
	switch {
	case !httpapi.IsAddress(c.URL):
		return f.Errorf("clerk.url", "is not an address like %s, without user, query and fragment", defaultURL)
	case !c.AllowHTTP && httpapi.IsClear(c.URL):
		return f.Errorf("clerk.url", "is not https: the key would travel in the clear (allow_http: true allows it)")
	case c.SecretKeyFile == "":
		return f.Errorf("clerk.secret_key_file", "is missing: the path of a file with the instance's secret key")
	case !apiDate.MatchString(c.APIVersion):
		return f.Errorf("clerk.api_version", "%q is not a date like %s", c.APIVersion, defaultAPIVersion)
	case c.ProbeSession != "" && !sessionName.MatchString(c.ProbeSession):
		return f.Errorf("clerk.probe_session", "is not the name of a session, like sess_2abc")
	case c.ForeignSession != "" && !sessionName.MatchString(c.ForeignSession):
		return f.Errorf("clerk.foreign_session", "is not the name of a session, like sess_2abc")
	case c.ForeignSession != "" && c.ForeignSession == c.ProbeSession:
		return f.Errorf("clerk.foreign_session", "must be another session than probe_session: one whose party is not authorized")
	case c.ProbeSession == "" && (c.ForeignSession != "" || c.VerifyURL != ""):
		return f.Errorf("clerk.probe_session", "is missing: without it no token can be checked")
	case c.VerifyURL != "" && !httpapi.IsAddress(c.VerifyURL):
		return f.Errorf("clerk.verify_url", "is not an address like https://example.com/api/session, without user, query and fragment")
	case c.VerifyURL != "" && !c.AllowHTTP && httpapi.IsClear(c.VerifyURL):
		return f.Errorf("clerk.verify_url", "is not https: tokens would travel in the clear (allow_http: true allows it)")
	case c.VerifyURL == "" && c.VerifyExempt:
		return f.Errorf("clerk.verify_exempt", "says nothing without verify_url: no token is presented to the platform")
	case c.ProbeSession != "" && c.Issuer == "":
		return f.Errorf("clerk.issuer", "is missing: the Frontend API's address, like https://clerk.example.com")
	case c.Issuer != "" && !httpapi.IsAddress(c.Issuer):
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
	return httpapi.CheckTiming(f, "clerk", c.Interval, c.Timeout)
}

func (c *Config) schedule(interval yamlfile.Duration) exporter.Schedule {
	return exporter.Schedule{Interval: time.Duration(interval), Timeout: time.Duration(c.Timeout), MaxAge: 5 * time.Duration(interval)}
}
