package routing

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Channel is one way to reach somebody: the name of one of Alertmanager's receivers without _configs, and its
// configuration as Alertmanager takes it. What is our own text in it is added, unless it says otherwise.
type Channel struct {
	Kind   string
	config *yaml.Node
	line   int
}

// Webhook is a channel that sends to the address in a file.
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
	return nil
}

// kind is what we know of one of Alertmanager's receivers.
type kind struct {
	name    string
	secrets []string // keys that hold a secret, and have a sibling that ends in _file or none
	needs   []string // one of these is there
	knows   []string // all other keys; nil: Alertmanager checks them
}

// kinds are the receivers of Alertmanager 0.31.
func kinds() []kind {
	return []kind{
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
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

// clientChannelKinds are the channels of client admins: of others Alertmanager 0.31 does not let us write the whole
// message, and what it writes itself has internal labels and links.
func clientChannelKinds() []string { return []string{"email", "slack"} }

// clientKeys are the settings of a client admin's channel that cannot put anything else into the message than our templates.
func clientKeys() []string {
	return []string{"to", "from", "hello", "smarthost", "auth_username", "auth_password_file", "auth_secret_file", "auth_identity", "require_tls", "tls_config",
		"force_implicit_tls", "api_url_file", "app_token_file", "app_url", "channel", "username", "icon_emoji", "icon_url", "http_config", "timeout", "send_resolved"}
}

// anySecrets are keys that hold a secret wherever they stand.
func anySecrets() []string {
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
	k := kinds()[slices.IndexFunc(kinds(), func(k kind) bool { return k.name == c.Kind })]
	var errs []error
	if !slices.ContainsFunc(k.needs, c.has) {
		errs = append(errs, s.file.Errorf(key+"."+c.Kind, "lacks %s", strings.Join(k.needs, " or ")))
	}
	if c.Kind == "email" && s.Mail == nil && !(c.has("smarthost") && c.has("from")) {
		errs = append(errs, s.file.Errorf(key+".email", "lacks a relay: write mail.smarthost and mail.from at the top"))
	}
	forClient := len(allowed) < len(channelKinds())
	for i := 0; i+1 < len(c.config.Content); i += 2 {
		name := c.config.Content[i].Value
		at := key + "." + c.Kind + "." + name
		switch {
		case slices.Contains(k.secrets, name): // said below
		case forClient && !slices.Contains(clientKeys(), name):
			errs = append(errs, s.file.Errorf(at, "cannot be set for a client: it could put internal information into the message"))
		case k.knows != nil && !slices.Contains(slices.Concat(k.knows, k.needs), name):
			errs = append(errs, s.file.Errorf(at, "unknown key; a channel %s has %s", c.Kind, strings.Join(slices.Concat(k.needs, k.knows), ", ")))
		}
	}
	errs = append(errs, secretsIn(s, key+"."+c.Kind, c.config, slices.Concat(k.secrets, anySecrets())))
	return errors.Join(errs...)
}

// secretsIn finds what should stand in a file.
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

// audience is whom a message is written for.
type audience string

const (
	staff  audience = "staff"
	admins audience = "client"
)

// rendered is the channel's configuration with our own messages. send_resolved is always set, because the receivers' defaults
// differ.
func (c *Channel) rendered(a audience) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Content: slices.Clone(c.config.Content)}
	add := func(key string, value *yaml.Node) {
		if !c.has(key) {
			n.Content = append(n.Content, text(key), value)
		}
	}
	words := func(part string) *yaml.Node {
		return text(fmt.Sprintf(`{{ template "consignwatch.%s.%s" . }}`, a, part))
	}
	switch c.Kind {
	case "email":
		add("headers", &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("Subject"), words("line")}})
		add("html", words("html"))
		add("text", words("text"))
	case "slack":
		add("title", words("line"))
		if a == staff {
			add("title_link", words("link"))
		} else {
			add("title_link", text("")) // the default is Alertmanager's address
		}
		add("text", words("slack"))
		add("fallback", words("line"))
		add("color", text(`{{ template "consignwatch.colour" . }}`))
		add("footer", text(`{{ template "consignwatch.platform" . }}`))
	case "pagerduty":
		add("description", words("line"))
		add("severity", text(`{{ if eq .CommonLabels.severity "critical" }}critical{{ else if eq .CommonLabels.severity "warning" }}warning{{ else }}info{{ end }}`))
		add("details", &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("message"), words("text")}})
	}
	add("send_resolved", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
	return n
}

func text(s string) *yaml.Node {
	var n yaml.Node
	n.SetString(s)
	return &n
}
