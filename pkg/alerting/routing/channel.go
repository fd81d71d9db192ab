package routing

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Channel is one way to notify a contact: the kind of one of Alertmanager's receiver integrations (its name without _configs), and its
// configuration. Our message templates are added where the configuration sets no text of its own.
type Channel struct {
	Kind   string
	config *yaml.Node
	line   int
}

// Webhook returns a webhook channel with a url_file.
func Webhook(urlFile string) Channel {
	return Channel{Kind: "webhook", config: &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("url_file"), text(urlFile)}}}
}

// UnmarshalYAML reads a mapping with one key.
func (c *Channel) UnmarshalYAML(n *yaml.Node) error {
	c.line = n.Line
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 || n.Content[1].Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: a channel is one of %s, with its settings: email: {to: a@example.com}", n.Line, strings.Join(channelKinds(), ", "))
	}
	c.Kind, c.config = n.Content[0].Value, n.Content[1]
	c.encodeAddresses()
	return nil
}

// receiverKind has the settings of one of Alertmanager's receiver integrations.
type receiverKind struct {
	name     string
	secrets  []string // settings that hold a secret; most have a variant that ends in _file
	oneOf    []string // settings of which one is required
	settings []string // all other settings; nil: not checked here, but by Alertmanager
}

// receiverKinds are the receiver integrations of Alertmanager 0.31.
func receiverKinds() []receiverKind {
	return []receiverKind{
		{"webhook", []string{"url"}, []string{"url_file"}, []string{"http_config", "max_alerts", "timeout", "send_resolved"}},
		{"email", []string{"auth_password", "auth_secret"}, []string{"to"}, []string{"from", "hello", "smarthost", "auth_username", "auth_password_file", "auth_secret_file", "auth_identity", "headers", "html", "text", "require_tls", "tls_config", "force_implicit_tls", "threading", "send_resolved"}},
		{"slack", []string{"api_url", "app_token"}, []string{"api_url_file", "app_token_file"}, []string{"app_url", "channel", "username", "color", "title", "title_link", "pretext", "text", "message_text", "fields", "short_fields", "footer", "fallback", "callback_id", "icon_emoji", "icon_url", "image_url", "thumb_url", "link_names", "mrkdwn_in", "actions", "http_config", "timeout", "send_resolved"}},
		{"pagerduty", []string{"routing_key", "service_key"}, []string{"routing_key_file", "service_key_file"}, []string{"url", "client", "client_url", "description", "details", "images", "links", "source", "severity", "class", "component", "group", "http_config", "timeout", "send_resolved"}},
		{"discord", []string{"webhook_url"}, []string{"webhook_url_file"}, nil},
		{"incidentio", []string{"url", "alert_source_token"}, []string{"url_file"}, nil},
		{"jira", nil, []string{"project"}, nil},
		{"mattermost", []string{"webhook_url"}, []string{"webhook_url_file"}, nil},
		{"msteams", []string{"webhook_url"}, []string{"webhook_url_file"}, nil},
		{"msteamsv2", []string{"webhook_url"}, []string{"webhook_url_file"}, nil},
		{"opsgenie", []string{"api_key"}, []string{"api_key_file"}, nil},
		{"pushover", []string{"user_key", "token"}, []string{"user_key_file"}, nil},
		{"rocketchat", []string{"token", "token_id"}, []string{"channel"}, nil},
		{"sns", []string{"access_key", "secret_key"}, []string{"topic_arn", "phone_number", "target_arn"}, nil},
		{"telegram", []string{"bot_token"}, []string{"bot_token_file"}, nil},
		{"victorops", []string{"api_key"}, []string{"api_key_file"}, nil},
		{"webex", nil, []string{"room_id"}, nil},
		{"wechat", []string{"api_secret"}, []string{"to_user", "to_party", "to_tag"}, nil},
	}
}

func channelKinds() []string {
	var names []string
	for _, k := range receiverKinds() {
		names = append(names, k.name)
	}
	return names
}

// clientChannelKinds are the kinds of channels for client admins. With other kinds, Alertmanager 0.31 adds text of its own to the
// message, with internal labels and links.
func clientChannelKinds() []string { return []string{"email", "slack"} }

// clientSettings are the settings of a client admin's channel that do not change the text of the message.
func clientSettings() []string {
	return []string{"to", "from", "hello", "smarthost", "auth_username", "auth_password_file", "auth_secret_file", "auth_identity", "require_tls", "tls_config",
		"force_implicit_tls", "api_url_file", "app_token_file", "app_url", "channel", "username", "icon_emoji", "icon_url", "http_config", "timeout", "send_resolved"}
}

// secretKeys are settings that hold a secret at any level of the configuration.
func secretKeys() []string {
	return []string{"password", "credentials", "client_secret", "client_certificate_key", "bearer_token", "key", "secrets", "certificate_key"}
}

func (c *Channel) check(s *Site, key string, allowed []string) error {
	if !slices.Contains(allowed, c.Kind) {
		why := ""
		if slices.Contains(channelKinds(), c.Kind) {
			why = ": Alertmanager 0.31 writes internal labels and links into its messages, which are not for clients"
		}
		return s.file.Errorf(key+"."+c.Kind, "a channel here is one of %s%s", strings.Join(allowed, ", "), why)
	}
	kind := receiverKinds()[slices.IndexFunc(receiverKinds(), func(kind receiverKind) bool { return kind.name == c.Kind })]
	var errs []error
	if !slices.ContainsFunc(kind.oneOf, c.has) {
		errs = append(errs, s.file.Errorf(key+"."+c.Kind, "lacks %s", strings.Join(kind.oneOf, " or ")))
	}
	if c.Kind == "email" && s.Mail == nil && !(c.has("smarthost") && c.has("from")) {
		errs = append(errs, s.file.Errorf(key+".email", "lacks a relay: write mail.smarthost and mail.from at the top"))
	}
	forClient := len(allowed) < len(channelKinds())
	for i := 0; i+1 < len(c.config.Content); i += 2 {
		name := c.config.Content[i].Value
		at := key + "." + c.Kind + "." + name
		switch {
		case slices.Contains(kind.secrets, name): // reported below
		case forClient && !slices.Contains(clientSettings(), name):
			errs = append(errs, s.file.Errorf(at, "cannot be set for a client: it could put internal information into the message"))
		case kind.settings != nil && !slices.Contains(slices.Concat(kind.settings, kind.oneOf), name):
			errs = append(errs, s.file.Errorf(at, "unknown key; a channel %s has %s", c.Kind, strings.Join(slices.Concat(kind.oneOf, kind.settings), ", ")))
		}
	}
	errs = append(errs, c.checkAddresses(s, key))
	errs = append(errs, secretsIn(s, key+"."+c.Kind, c.config, slices.Concat(kind.secrets, secretKeys())))
	return errors.Join(errs...)
}

// secretsIn reports secrets in the configuration: they belong into files.
func secretsIn(s *Site, key string, n *yaml.Node, secrets []string) error {
	var errs []error
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i].Value, n.Content[i+1]
			if slices.Contains(secrets, name) {
				errs = append(errs, s.file.Errorf(key+"."+name, "is a secret: write it into a file, and set %s_file: secrets/NAME", name))
				continue
			}
			errs = append(errs, secretsIn(s, key+"."+name, value, secrets))
		}
	case yaml.SequenceNode:
		for i, value := range n.Content {
			errs = append(errs, secretsIn(s, fmt.Sprintf("%s.%d", key, i), value, secrets))
		}
	case yaml.ScalarNode:
		if u, err := url.Parse(n.Value); err == nil && u.User != nil {
			errs = append(errs, s.file.Errorf(key, "has a password in an address: write it into a file"))
		}
	}
	return errors.Join(errs...)
}

func (c *Channel) has(key string) bool { return c.get(key) != nil }

func (c *Channel) get(key string) *yaml.Node {
	for i := 0; i+1 < len(c.config.Content); i += 2 {
		if c.config.Content[i].Value == key {
			return c.config.Content[i+1]
		}
	}
	return nil
}

// audience says for whom a message is written: it selects the templates.
type audience string

const (
	staff  audience = "staff"
	admins audience = "client"
)

// rendered is the channel's configuration with our message templates. send_resolved is always set, because the defaults of the
// integrations differ.
func (c *Channel) rendered(a audience) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Content: slices.Clone(c.config.Content)}
	add := func(key string, value *yaml.Node) {
		if !c.has(key) {
			n.Content = append(n.Content, text(key), value)
		}
	}
	template := func(part string) *yaml.Node {
		return text(fmt.Sprintf(`{{ template "consignwatch.%s.%s" . }}`, a, part))
	}
	switch c.Kind {
	case "email":
		add("headers", &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("Subject"), template("line")}})
		add("html", template("html"))
		add("text", template("text"))
	case "slack":
		add("title", template("line"))
		if a == staff {
			add("title_link", template("link"))
		} else {
			add("title_link", text("")) // the default is Alertmanager's address
		}
		add("text", template("slack"))
		add("fallback", template("line"))
		add("color", text(`{{ template "consignwatch.colour" . }}`))
		add("footer", text(`{{ template "consignwatch.platform" . }}`))
	case "pagerduty":
		add("description", template("line"))
		add("severity", text(`{{ if eq .CommonLabels.severity "critical" }}critical{{ else if eq .CommonLabels.severity "warning" }}warning{{ else }}info{{ end }}`))
		add("details", &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("message"), template("text")}})
	}
	add("send_resolved", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
	return n
}

func text(s string) *yaml.Node {
	var n yaml.Node
	n.SetString(s)
	return &n
}
