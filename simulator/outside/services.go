// Package outside serves fakes of the external services Shopify, Clerk and Mandrill at one address of the loopback interface, together
// with the platform's two endpoints for them: the webhook receiver and the verification of session tokens. It also makes the platform's
// own calls to the services, over HTTP.
//
// It does not know the platform's books. Secrets leave it in files only.
package outside

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/simulator/services/clerk"
	"github.com/consignwatch/consignwatch/simulator/services/mandrill"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
	"github.com/consignwatch/consignwatch/simulator/services/webhook"
)

// Common to every simulated platform.
const (
	Issuer          = "https://clerk.consign.example"
	AuthorizedParty = "https://app.consign.example"
	SendingDomain   = "mail.consign.example"

	// ProbeSession is the session for which a monitor mints tokens. Tokens of ForeignSession name another party.
	ProbeSession   = "sess_probe"
	ForeignSession = "sess_foreign"
	// platformSession is the session that the platform itself requests.
	platformSession = "sess_platform"
)

// Paths of the services.
const (
	shopifyPath  = "/shopify"
	clerkPath    = "/clerk"
	mandrillPath = "/mandrill"
	platformPath = "/platform"
	verifyPath   = "/verify"
)

// Config configures the services.
type Config struct {
	Listener net.Listener
	Dir      string           // for files with secrets; empty: a temporary one
	Speed    float64          // speedup of webhook retries and of batches of mail events; 0: 1
	Mails    int              // hourly quota of emails; 0: Mandrill's default
	Now      func() time.Time // time.Now
	// Received handles the webhooks that the platform receives (webhook.ReceiverConfig.Handle).
	Received func(context.Context, webhook.Received) error
}

// Services are the fakes of the external services, and the platform's endpoints for them. The fakes can be used directly.
type Services struct {
	Shopify  *shopify.Fake
	Clerk    *clerk.Fake
	Mandrill *mandrill.Fake
	Verifier *clerk.Verifier
	// MailHook is the id of the platform's webhook at Mandrill.
	MailHook int64

	base    string
	dir     string
	now     func() time.Time
	tempDir bool // dir is a temporary one
	server  *http.Server
	served  chan error
	http    *http.Client

	clerkKey, mandrillKey string

	mu    sync.Mutex
	shops map[string]shopAccess // by domain
	files Files
}

// shopAccess is what the receiver knows of a shop.
type shopAccess struct{ client, secret string }

// Start serves the services. Until Open there are no clients.
func Start(c Config) (*Services, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Services{
		base: "http://" + c.Listener.Addr().String(), dir: c.Dir, now: c.Now, served: make(chan error, 1), shops: map[string]shopAccess{},
		http:     &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: 30 * time.Second}, Timeout: RequestTimeout},
		clerkKey: "sk_live_" + rand.Text(), mandrillKey: "md-" + rand.Text(),
	}
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "platform-outside-")
		if err != nil {
			return nil, fmt.Errorf("external services: %w", err)
		}
		s.dir, s.tempDir = dir, true
	}
	hooks := webhook.SenderConfig{Speed: c.Speed}
	webhookSecret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(rand.Text()))
	s.Shopify = shopify.New(shopify.Config{Now: c.Now, Webhooks: hooks})
	s.Clerk = clerk.New(clerk.Config{
		Now: c.Now, SecretKey: s.clerkKey, Issuer: Issuer, Webhooks: hooks,
		WebhookURL: s.base + platformPath + webhook.ClerkPath, WebhookSecret: webhookSecret,
	})
	s.Mandrill = mandrill.New(mandrill.Config{Now: c.Now, Key: s.mandrillKey, Username: "consign", HourlyQuota: c.Mails, Webhooks: hooks})
	mailHook := s.Mandrill.AddWebhook(mandrill.Webhook{
		URL: s.base + platformPath + webhook.MandrillPath, Description: "mail events", AuthKey: rand.Text(), Events: mailTopics(),
	})
	s.MailHook = mailHook.ID
	s.Mandrill.AddDomain(mandrill.Domain{Name: SendingDomain})
	s.Verifier = clerk.NewVerifier(clerk.VerifierConfig{Now: c.Now, Keys: s.keys, Issuer: Issuer, Parties: []string{AuthorizedParty}})
	receiver := webhook.NewReceiver(webhook.ReceiverConfig{
		Now: c.Now, ShopifyClient: s.shop, ClerkSecrets: func() []string { return []string{webhookSecret} },
		MandrillKeys: func() []string { return []string{mailHook.AuthKey} }, MandrillURL: mailHook.URL,
		Topics: topics(), Handle: c.Received,
	})
	mux := http.NewServeMux()
	mux.Handle(shopifyPath+"/", http.StripPrefix(shopifyPath, s.Shopify))
	mux.Handle(clerkPath+"/", http.StripPrefix(clerkPath, s.Clerk))
	mux.Handle(mandrillPath+"/", http.StripPrefix(mandrillPath, s.Mandrill))
	mux.Handle(platformPath+"/webhooks/", http.StripPrefix(platformPath, receiver))
	mux.Handle(platformPath+verifyPath, s.Verifier)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { s.served <- s.server.Serve(c.Listener) }()
	return s, nil
}

// Close stops the services, drops their pending webhooks, and removes the folder if it is a temporary one.
func (s *Services) Close() error {
	s.Shopify.Close()
	s.Clerk.Close()
	s.Mandrill.Close()
	err := s.server.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	s.http.CloseIdleConnections()
	if s.tempDir {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// shopTopics returns the topics of a shop's webhooks, as the Admin API spells them.
func shopTopics() []string { return []string{"ORDERS_CREATE", "ORDERS_UPDATED"} }

// OrdersTopic is the topic of new orders.
const OrdersTopic = "ORDERS_CREATE"

func mailTopics() []string {
	return []string{"delivered", mandrill.HardBounce, mandrill.SoftBounce, "reject", mandrill.Complain}
}

func topics() []string {
	return append(append(mailTopics(), hookTopics()...), "user.created", "session.created")
}

// hookTopics returns shopTopics as deliveries and monitors spell them.
func hookTopics() []string {
	var all []string
	for _, topic := range shopTopics() {
		all = append(all, strings.ToLower(strings.Replace(topic, "_", "/", 1)))
	}
	return all
}

// Subscribe subscribes to a shop's new orders.
func (s *Services) Subscribe(domain string) error { return s.subscribe(domain, OrdersTopic) }

func (s *Services) subscribe(domain, topic string) error {
	_, err := s.Shopify.Subscribe(domain, "", shopify.Subscription{Topic: topic, URI: s.base + platformPath + webhook.ShopifyPath})
	return err
}

// Unsubscribe removes a shop's subscription to new orders.
func (s *Services) Unsubscribe(domain string) error {
	_, err := s.Shopify.Unsubscribe(domain, OrdersTopic)
	return err
}

// Slug returns the slug of a shop's client.
func (s *Services) Slug(domain string) string {
	client, _ := s.shop(domain)
	return client
}

// shop returns the client and the secrets of a shop.
func (s *Services) shop(domain string) (string, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.shops[domain]
	if !ok {
		return "", nil
	}
	return d.client, []string{d.secret}
}

// Client is a client of the platform, as the services know it.
type Client struct {
	Slug, Name   string
	Domain       string // of the shop
	Token        string // the platform's access token
	TokenExpires time.Time
}

// Open adds the shops and subaccounts of the clients and the probe's users with their sessions, and writes the files.
func (s *Services) Open(clients []Client) error {
	for _, c := range clients {
		app := shopify.App{
			ClientID: "platform", ClientSecret: rand.Text(), AccessToken: c.Token,
			Scopes: []string{"read_orders", "read_all_orders", "read_products", "write_products"},
		}
		if err := s.Shopify.AddShop(shopify.Shop{Domain: c.Domain, Name: c.Name, App: app}); err != nil {
			return err
		}
		s.mu.Lock()
		s.shops[c.Domain] = shopAccess{c.Slug, app.ClientSecret}
		s.mu.Unlock()
		for _, topic := range shopTopics() {
			if err := s.subscribe(c.Domain, topic); err != nil {
				return err
			}
		}
		if err := s.Mandrill.AddSubaccount(mandrill.Subaccount{ID: c.Slug, Name: c.Name}); err != nil {
			return err
		}
	}
	for session, party := range map[string]string{ProbeSession: AuthorizedParty, ForeignSession: "https://elsewhere.example", platformSession: AuthorizedParty} {
		user := strings.Replace(session, "sess_", "user_", 1)
		if _, err := s.Clerk.AddUser(clerk.User{ID: user}); err != nil {
			return err
		}
		// Longer than any demo.
		if _, err := s.Clerk.SignIn(clerk.Session{ID: session, UserID: user, AuthorizedParty: party, ExpiresAt: s.now().AddDate(10, 0, 0)}); err != nil {
			return err
		}
	}
	return s.write(clients)
}
