package services

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/simulator/services/shopify"
	"github.com/consignwatch/consignwatch/simulator/services/webhook"
)

// Files are the paths of the secrets and of the list of clients.
type Files struct {
	Clients     string `json:"clients_file,omitempty"` // for the integration-exporter's clients_file
	ClerkKey    string `json:"clerk_secret_key_file,omitempty"`
	MandrillKey string `json:"mandrill_key_file,omitempty"`
}

// Addresses are the addresses of the services. It holds no secret.
type Addresses struct {
	URL string `json:"url"`
	Files
	// Addresses in the form of the integration-exporter's configuration.
	ShopifyURLTemplate string `json:"shopify_url_template"`
	ShopifyAPIVersion  string `json:"shopify_api_version"`
	ClerkURL           string `json:"clerk_url"`
	Issuer             string `json:"issuer"`
	AuthorizedParty    string `json:"authorized_party"`
	ProbeSession       string `json:"probe_session"`
	ForeignSession     string `json:"foreign_session"`
	VerifyURL          string `json:"verify_url"`
	MandrillURL        string `json:"mandrill_url"`
	SendingDomain      string `json:"sending_domain"`
	WebhooksURL        string `json:"webhooks_url"` // of the platform's receiver
}

// addresses returns the addresses of the services. Before Open there are no files.
func (s *server) addresses() Addresses {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Addresses{
		URL: s.base, Files: s.files,
		ShopifyURLTemplate: s.base + shopifyPath + "/{domain}/admin/api/{version}/graphql.json", ShopifyAPIVersion: shopify.Newest(s.now()),
		ClerkURL: s.base + clerkPath + "/v1", Issuer: issuer, AuthorizedParty: authorizedParty, ProbeSession: probeSession, ForeignSession: foreignSession,
		VerifyURL: s.base + platformPath + verifyPath, MandrillURL: s.base + mandrillPath + "/api/1.0", SendingDomain: sendingDomain,
		WebhooksURL: s.base + platformPath + webhook.ShopifyPath,
	}
}

// listed is a client in the integration-exporter's clients_file.
type listed struct {
	Slug    string     `yaml:"slug"`
	Shopify listedShop `yaml:"shopify"`
}

type listedShop struct {
	Domain         string    `yaml:"domain"`
	TokenFile      string    `yaml:"token_file"`
	TokenExpiresAt time.Time `yaml:"token_expires_at,omitempty"`
	ExpectedTopics []string  `yaml:"expected_topics"`
}

// write writes the secrets, and the list of clients that refers to their files.
func (s *server) write(clients []shopClient) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("external services: %w", err)
	}
	files := Files{
		Clients: filepath.Join(s.dir, "clients.yml"), ClerkKey: filepath.Join(s.dir, "clerk.key"), MandrillKey: filepath.Join(s.dir, "mandrill.key"),
	}
	texts := map[string]string{files.ClerkKey: s.clerkKey + "\n", files.MandrillKey: s.mandrillKey + "\n"}
	var list struct {
		Clients []listed `yaml:"clients"`
	}
	for _, c := range clients {
		name := "shopify-" + c.Slug + ".token"
		texts[filepath.Join(s.dir, name)] = c.Token + "\n"
		list.Clients = append(list.Clients, listed{c.Slug, listedShop{c.Domain, name, c.TokenExpires, hookTopics()}})
	}
	text, err := yaml.Marshal(list)
	if err != nil {
		return fmt.Errorf("external services: %w", err)
	}
	texts[files.Clients] = string(text)
	for path, text := range texts {
		if err := writeSecret(path, text); err != nil {
			return fmt.Errorf("external services: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = files
	return nil
}

// writeSecret writes a file that only its owner can read, even if it exists with other permissions.
func writeSecret(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Chmod(path, 0o600)
}
