package shopify

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Config is the section `shopify`: what holds for the shops of all clients.
type Config struct {
	// APIVersion is the requested version of the Admin API: 2026-10.
	APIVersion string `yaml:"api_version,omitempty"`
	// URLTemplate is the address of the GraphQL Admin API, with {domain} and {version}.
	URLTemplate string `yaml:"url_template,omitempty"`
	// TokenURLTemplate is the address that gives a token for client credentials, with {domain}.
	TokenURLTemplate string `yaml:"token_url_template,omitempty"`
	// AllowedDomains are the domains that shops may be subdomains of, where a template sends a secret to the shop's domain:
	// by default, Shopify's alone. The list of clients may be made of what tenants enter.
	AllowedDomains []string `yaml:"allowed_domains,omitempty"`
	// AllowHTTP allows templates without TLS to other hosts than this one: tokens then travel in the clear.
	AllowHTTP bool                    `yaml:"allow_http,omitempty"`
	TLS       *commonconfig.TLSConfig `yaml:"tls,omitempty"`
	// Interval is that of the state of a shop and of its orders.
	Interval yamlfile.Duration `yaml:"interval,omitempty"`
	// Timeout is that of one request.
	Timeout yamlfile.Duration `yaml:"timeout,omitempty"`
	// MaxAge is how long the last good values are exposed after a shop has stopped answering.
	MaxAge yamlfile.Duration `yaml:"max_age,omitempty"`
	// RequestsPerSecond limits the requests to one shop, of any kind.
	RequestsPerSecond float64 `yaml:"requests_per_second,omitempty"`
	// BucketReserve is the share of the shop's bucket that low-priority queries, of orders and products, leave to others.
	BucketReserve *float64 `yaml:"bucket_reserve,omitempty"`
	// ExpectedTopics are the topics that each shop should have a webhook subscription for: orders/create.
	ExpectedTopics []string `yaml:"expected_topics,omitempty"`

	// OrderWindow is how far back orders are compared, and GracePeriod how long the platform may take to have one.
	OrderWindow yamlfile.Duration `yaml:"order_window,omitempty"`
	GracePeriod yamlfile.Duration `yaml:"grace_period,omitempty"`
	// OrderFilter narrows the orders down, in Shopify's search syntax: -tag:gift_card.
	OrderFilter string `yaml:"order_filter,omitempty"`
	// RereadInterval is how often the whole window is read again. In between, only new orders are.
	RereadInterval yamlfile.Duration `yaml:"reread_interval,omitempty"`
	// MaxOrders is how many orders a window may have. With more, none are reported.
	MaxOrders int `yaml:"max_orders,omitempty"`

	// ProductsInterval is how often the products of a shop are compared.
	ProductsInterval yamlfile.Duration `yaml:"products_interval,omitempty"`
	// MaxProducts is how many products a shop may have. With more, none are reported.
	MaxProducts int `yaml:"max_products,omitempty"`
}

// ShopConfig is a client's shop.
type ShopConfig struct {
	// Domain is the shop's own domain at Shopify: kids-north.myshopify.com.
	Domain string `yaml:"domain"`
	// TokenFile holds an access token of a custom app. It is read again on reload.
	TokenFile string `yaml:"token_file,omitempty"`
	// TokenExpiresAt is when the token of TokenFile ends, by RFC 3339; empty when it does not, or when that is not known.
	TokenExpiresAt string `yaml:"token_expires_at,omitempty"`
	// ClientCredentials are those of an app that requests its tokens.
	ClientCredentials *ClientCredentials `yaml:"client_credentials,omitempty"`
	// ExpectedTopics, when they are set, replace those of the section shopify.
	ExpectedTopics []string `yaml:"expected_topics,omitempty"`
}

// ClientCredentials are an app's, for the grant of that name.
type ClientCredentials struct {
	ID string `yaml:"id"`
	// SecretFile is read again on reload.
	SecretFile string `yaml:"secret_file"`
}

const (
	defaultAPIVersion       = "2026-10"
	defaultURLTemplate      = "https://{domain}/admin/api/{version}/graphql.json"
	defaultTokenURLTemplate = "https://{domain}/admin/oauth/access_token"

	defaultAllowedDomain = "myshopify.com"

	defaultBucketReserve = 0.5
	defaultMaxOrders     = 10_000
	// defaultMaxProducts is as far as Shopify lets one page through a list.
	defaultMaxProducts = 25_000
)

// Fill sets the defaults of what is not set.
func (c *Config) Fill() {
	text := func(to *string, otherwise string) {
		if *to == "" {
			*to = otherwise
		}
	}
	duration := func(to *yamlfile.Duration, otherwise time.Duration) {
		if *to == 0 {
			*to = yamlfile.Duration(otherwise)
		}
	}
	text(&c.APIVersion, defaultAPIVersion)
	text(&c.URLTemplate, defaultURLTemplate)
	text(&c.TokenURLTemplate, defaultTokenURLTemplate)
	if len(c.AllowedDomains) == 0 {
		c.AllowedDomains = []string{defaultAllowedDomain}
	}
	duration(&c.Interval, time.Minute)
	duration(&c.Timeout, min(15*time.Second, time.Duration(c.Interval)/4))
	duration(&c.MaxAge, 5*time.Minute)
	duration(&c.OrderWindow, 24*time.Hour)
	duration(&c.GracePeriod, 15*time.Minute)
	duration(&c.RereadInterval, 30*time.Minute)
	duration(&c.ProductsInterval, time.Hour)
	if c.RequestsPerSecond == 0 {
		c.RequestsPerSecond = 2
	}
	if c.BucketReserve == nil {
		reserve := defaultBucketReserve
		c.BucketReserve = &reserve
	}
	if c.MaxOrders == 0 {
		c.MaxOrders = defaultMaxOrders
	}
	if c.MaxProducts == 0 {
		c.MaxProducts = defaultMaxProducts
	}
}

var (
	apiVersion = regexp.MustCompile(`^(\d{4}-\d{2}|unstable)$`)
	// shopDomain admits nothing that could lead a token to another place than the host: no port, no path, no user.
	shopDomain = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+$`)
	hookTopic  = regexp.MustCompile(`^[a-z][a-z0-9_]*/[a-z][a-z0-9_]*$`)
)

// SetDirectory makes paths relative to a folder.
func (c *Config) SetDirectory(dir string) { c.TLS.SetDirectory(dir) }

// Check reports the first mistake. It is called after Fill.
func (c *Config) Check(f *yamlfile.File) error {
	switch {
	case !apiVersion.MatchString(c.APIVersion):
		return f.Errorf("shopify.api_version", "%q is not a version like %s", c.APIVersion, defaultAPIVersion)
	case c.Timeout > c.Interval/4:
		return f.Errorf("shopify.timeout", "cannot be longer than a quarter of the interval of %s: a request may have to wait for others to the same shop, and for a token", c.Interval)
	case !(c.RequestsPerSecond > 0 && c.RequestsPerSecond <= 100):
		return f.Errorf("shopify.requests_per_second", "must be more than 0 and at most 100")
	case !(*c.BucketReserve >= 0 && *c.BucketReserve <= 0.9):
		return f.Errorf("shopify.bucket_reserve", "must be from 0 to 0.9")
	case c.OrderWindow <= c.GracePeriod:
		return f.Errorf("shopify.order_window", "must be longer than the grace period of %s", c.GracePeriod)
	case c.OrderWindow > yamlfile.Duration(maxOrderWindow):
		return f.Errorf("shopify.order_window", "cannot be longer than 60d: Shopify shows older orders only with the scope read_all_orders")
	case strings.ContainsAny(c.OrderFilter, "\r\n\x00"):
		return f.Errorf("shopify.order_filter", "must be one line")
	case c.RereadInterval < c.Interval:
		return f.Errorf("shopify.reread_interval", "cannot be shorter than the interval of %s", c.Interval)
	case c.MaxOrders < 1 || c.MaxOrders > maxCount:
		return f.Errorf("shopify.max_orders", "must be from 1 to %d", maxCount)
	case c.ProductsInterval < c.Interval:
		return f.Errorf("shopify.products_interval", "cannot be shorter than the interval of %s", c.Interval)
	case c.MaxProducts < 1 || c.MaxProducts > maxCount:
		return f.Errorf("shopify.max_products", "must be from 1 to %d", maxCount)
	}
	if c.TLS != nil && c.TLS.InsecureSkipVerify {
		return f.Errorf("shopify.tls.insecure_skip_verify", "tokens go to nobody whose certificate is not verified: name the authority with ca_file")
	}
	if err := c.checkTemplate(f, "shopify.url_template", c.URLTemplate, "{version}"); err != nil {
		return err
	}
	if err := c.checkTemplate(f, "shopify.token_url_template", c.TokenURLTemplate, ""); err != nil {
		return err
	}
	for i, domain := range c.AllowedDomains {
		if !shopDomain.MatchString(domain) {
			return f.Errorf(fmt.Sprintf("shopify.allowed_domains.%d", i), "%q is not a domain in lower case, like %s", domain, defaultAllowedDomain)
		}
	}
	return checkTopics(f, "shopify.expected_topics", c.ExpectedTopics)
}

// allows reports whether the secrets of a shop may be sent to where its domain leads: it is below an allowed domain, or the
// templates send them to a host of their own.
func (c *Config) allows(s *ShopConfig) bool {
	if slices.ContainsFunc(c.AllowedDomains, func(allowed string) bool { return strings.HasSuffix(s.Domain, "."+allowed) }) {
		return true
	}
	return !domainIsHost(c.URLTemplate) && (s.ClientCredentials == nil || !domainIsHost(c.TokenURLTemplate))
}

// domainIsHost reports whether the host of a template depends on the shop's domain.
func domainIsHost(template string) bool {
	one, err1 := url.Parse(address(template, "one.example", "2026-10"))
	other, err2 := url.Parse(address(template, "other.example", "2026-10"))
	return err1 != nil || err2 != nil || one.Host != other.Host
}

const (
	maxOrderWindow = 60 * 24 * time.Hour
	// maxCount bounds what is kept of one shop in memory.
	maxCount = 250_000
)

// checkTemplate rejects templates that would send a token to another host.
func (c *Config) checkTemplate(f *yamlfile.File, key, template, needs string) error {
	u, err := url.Parse(address(template, "shop.example", "2026-10"))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return f.Errorf(key, "is not an address like %s", defaultURLTemplate)
	case u.User != nil:
		return f.Errorf(key, "holds a user or a password: that does not belong into an address")
	case !strings.Contains(template, "{domain}"):
		return f.Errorf(key, "lacks {domain}: all shops would be asked at one address")
	case !strings.Contains(template, needs):
		return f.Errorf(key, "lacks %s", needs)
	case strings.ContainsAny(address(template, "", ""), "{}"):
		return f.Errorf(key, "has a place that is not known: there are {domain} and {version}")
	case u.Scheme == "http" && !c.AllowHTTP && !httpapi.IsLoopback(u.Hostname()):
		return f.Errorf(key, "is not https: tokens would travel in the clear (allow_http: true allows it)")
	}
	return nil
}

// address fills the places of a template.
func address(template, domain, version string) string {
	return strings.NewReplacer("{domain}", domain, "{version}", version).Replace(template)
}

func checkTopics(f *yamlfile.File, key string, topics []string) error {
	if len(topics) > catalog.MaxHookTopics {
		return f.Errorf(key, "there are %d topics, and at most %d are watched", len(topics), catalog.MaxHookTopics)
	}
	for i, topic := range topics {
		at := fmt.Sprintf("%s.%d", key, i)
		switch {
		case !hookTopic.MatchString(topic) || len(topic) > catalog.MaxHookTopicLength:
			return f.Errorf(at, "%q is not a topic like orders/create", topic)
		case slices.Contains(topics[:i], topic):
			return f.Errorf(at, "%q is there twice", topic)
		}
	}
	return nil
}

// Check reports the first mistake, in f below the key. shopify is the filled section.
func (s *ShopConfig) Check(f *yamlfile.File, key string, shopify *Config) error {
	switch {
	case s.Domain == "":
		return f.Errorf(key+".domain", "is missing: the shop's domain at Shopify, like kids-north.myshopify.com")
	case len(s.Domain) > 253 || !shopDomain.MatchString(s.Domain):
		return f.Errorf(key+".domain", "%q is not a domain in lower case, like kids-north.myshopify.com", s.Domain)
	case !shopify.allows(s):
		return f.Errorf(key+".domain", "%q is not below %s: the shop's secret would be sent to it (shopify.allowed_domains allows others)", s.Domain, strings.Join(shopify.AllowedDomains, ", "))
	case s.TokenFile == "" && s.ClientCredentials == nil:
		return f.Errorf(key+".token_file", "is missing: the path of a file with an access token, unless there are client_credentials")
	case s.TokenFile != "" && s.ClientCredentials != nil:
		return f.Errorf(key+".client_credentials", "there is a token_file, too: give one of them")
	case s.TokenFile == "" && s.TokenExpiresAt != "":
		return f.Errorf(key+".token_expires_at", "belongs to a token_file; a token that was requested has its own expiry")
	}
	if _, err := s.tokenEnd(); err != nil {
		return f.Errorf(key+".token_expires_at", "%q is not a time like 2027-03-01T12:00:00Z", s.TokenExpiresAt)
	}
	if c := s.ClientCredentials; c != nil {
		switch {
		case c.ID == "":
			return f.Errorf(key+".client_credentials.id", "is missing")
		case c.SecretFile == "":
			return f.Errorf(key+".client_credentials.secret_file", "is missing: the path of a file with the app's client secret")
		}
	}
	return checkTopics(f, key+".expected_topics", s.ExpectedTopics)
}

// tokenEnd is when the token of TokenFile ends; the zero time when that is not said.
func (s *ShopConfig) tokenEnd() (time.Time, error) {
	if s.TokenExpiresAt == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339, s.TokenExpiresAt)
}

// SetDirectory makes paths relative to a folder.
func (s *ShopConfig) SetDirectory(dir string) {
	s.TokenFile = commonconfig.JoinDir(dir, s.TokenFile)
	if s.ClientCredentials != nil {
		s.ClientCredentials.SecretFile = commonconfig.JoinDir(dir, s.ClientCredentials.SecretFile)
	}
}
