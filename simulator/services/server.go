package services

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/simulator/services/clerk"
	"github.com/consignwatch/consignwatch/simulator/services/mandrill"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
	"github.com/consignwatch/consignwatch/simulator/services/webhook"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// Common to every simulated platform.
const (
	issuer          = "https://clerk.consign.example"
	authorizedParty = "https://app.consign.example"
	sendingDomain   = "mail.consign.example"

	// probeSession is the session for which a monitor mints tokens. Tokens of foreignSession name another party.
	probeSession   = "sess_probe"
	foreignSession = "sess_foreign"
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

// server serves the fakes of the external services, and the platform's endpoints for them. The fakes can be used directly.
type server struct {
	Shopify  *shopify.Fake
	Clerk    *clerk.Fake
	Mandrill *mandrill.Fake
	Verifier *clerk.Verifier
	mailHook int64 // id of the platform's webhook at Mandrill

	base    string
	dir     string
	now     func() time.Time
	tempDir bool // dir is a temporary one
	serving *http.Server
	served  chan error
	http    *http.Client

	clerkKey, mandrillKey string

	mu     sync.Mutex
	access map[string]shopAccess // by domain
	files  Files
}

// shopAccess is what the receiver knows of a shop.
type shopAccess struct{ client, secret string }

// mailsPerHour is Mandrill's default quota.
const mailsPerHour = 25_000

// serve serves the services, and hands the webhooks that the platform receives to a function. Until open there are no clients.
func serve(c Config, clock world.Clock, received func(context.Context, webhook.Received) error) (*server, error) {
	s := &server{
		base: "http://" + c.Listener.Addr().String(), dir: c.Dir, now: clock.Time, served: make(chan error, 1), access: map[string]shopAccess{},
		http:     &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: 30 * time.Second}, Timeout: requestTimeout},
		clerkKey: "sk_live_" + rand.Text(), mandrillKey: "md-" + rand.Text(),
	}
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "platform-external-services-")
		if err != nil {
			return nil, fmt.Errorf("external services: %w", err)
		}
		s.dir, s.tempDir = dir, true
	}
	// Short days have more emails in an hour, and webhooks should not take longer than jobs.
	hooks := webhook.SenderConfig{Speed: min(max(clock.Speed, 1), world.UsualSpeed)}
	webhookSecret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(rand.Text()))
	s.Shopify = shopify.New(shopify.Config{Now: clock.Time, Webhooks: hooks})
	s.Clerk = clerk.New(clerk.Config{
		Now: clock.Time, SecretKey: s.clerkKey, Issuer: issuer, Webhooks: hooks,
		WebhookURL: s.base + platformPath + webhook.ClerkPath, WebhookSecret: webhookSecret,
	})
	s.Mandrill = mandrill.New(mandrill.Config{Now: clock.Time, Key: s.mandrillKey, Username: "consign", HourlyQuota: int(mailsPerHour * max(clock.Speed/world.UsualSpeed, 1)), Webhooks: hooks})
	mailHook := s.Mandrill.AddWebhook(mandrill.Webhook{
		URL: s.base + platformPath + webhook.MandrillPath, AuthKey: rand.Text(), Events: mailTopics(),
	})
	s.mailHook = mailHook.ID
	s.Mandrill.AddDomain(sendingDomain)
	s.Verifier = clerk.NewVerifier(clerk.VerifierConfig{Now: clock.Time, Keys: s.keys, Issuer: issuer, Parties: []string{authorizedParty}})
	receiver := webhook.NewReceiver(webhook.ReceiverConfig{
		Now: clock.Time, ShopifyClient: s.shop, ClerkSecret: webhookSecret, MandrillKey: mailHook.AuthKey, MandrillURL: mailHook.URL,
		Topics: topics(), Handle: received,
	})
	mux := http.NewServeMux()
	mux.Handle(shopifyPath+"/", http.StripPrefix(shopifyPath, s.Shopify))
	mux.Handle(clerkPath+"/", http.StripPrefix(clerkPath, s.Clerk))
	mux.Handle(mandrillPath+"/", http.StripPrefix(mandrillPath, s.Mandrill))
	mux.Handle(platformPath+"/webhooks/", http.StripPrefix(platformPath, receiver))
	mux.Handle(platformPath+verifyPath, s.Verifier)
	s.serving = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { s.served <- s.serving.Serve(c.Listener) }()
	return s, nil
}

// close stops the services, drops their pending webhooks, and removes the folder if it is a temporary one.
func (s *server) close() error {
	s.Shopify.Close()
	s.Clerk.Close()
	s.Mandrill.Close()
	err := s.serving.Close()
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
func hookTopics() []string { return []string{"orders/create", "orders/updated"} }

// subscribe subscribes to a topic of a shop.
func (s *server) subscribe(domain, topic string) error {
	return s.Shopify.Subscribe(domain, shopify.Subscription{Topic: topic, URI: s.base + platformPath + webhook.ShopifyPath})
}

// unsubscribe removes a shop's subscription to new orders.
func (s *server) unsubscribe(domain string) error {
	return s.Shopify.Unsubscribe(domain, OrdersTopic)
}

// slug returns the slug of a shop's client.
func (s *server) slug(domain string) string {
	client, _ := s.shop(domain)
	return client
}

// shop returns the client and the secret of a shop; none of an unknown one.
func (s *server) shop(domain string) (client, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.access[domain]
	return d.client, d.secret
}

// shopClient is a client of the platform, as the services know it.
type shopClient struct {
	Slug, Name   string
	Domain       string // of the shop
	Token        string // the platform's access token
	TokenExpires time.Time
}

// open adds the shops and subaccounts of the clients and the probe's users with their sessions, and writes the files.
func (s *server) open(clients []shopClient) error {
	for _, c := range clients {
		app := shopify.App{
			ClientID: "platform", ClientSecret: rand.Text(), AccessToken: c.Token,
			Scopes: []string{"read_orders", "read_products"},
		}
		if err := s.Shopify.AddShop(shopify.Shop{Domain: c.Domain, Name: c.Name, App: app}); err != nil {
			return err
		}
		s.mu.Lock()
		s.access[c.Domain] = shopAccess{c.Slug, app.ClientSecret}
		s.mu.Unlock()
		for _, topic := range shopTopics() {
			if err := s.subscribe(c.Domain, topic); err != nil {
				return err
			}
		}
		if err := s.Mandrill.AddSubaccount(mandrill.Subaccount{ID: c.Slug}); err != nil {
			return err
		}
	}
	for session, party := range map[string]string{probeSession: authorizedParty, foreignSession: "https://elsewhere.example", platformSession: authorizedParty} {
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
