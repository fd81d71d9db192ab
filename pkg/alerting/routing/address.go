package routing

import (
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Email addresses of the inventory. Alertmanager parses them when it sends, and gives up the notification when it cannot; and it encodes
// a header that is not ASCII as a whole, with the address, so that nobody can answer, and many servers refuse the message. So they are
// parsed here, and written with their names encoded.

// addressHeaders are the headers that hold addresses.
func addressHeaders() []string { return []string{"To", "From", "Cc", "Bcc", "Reply-To", "Sender"} }

// single says that a setting or header holds one address, and not a list.
func single(name string) bool {
	return strings.EqualFold(name, "from") || strings.EqualFold(name, "sender")
}

// checkAddresses says why a value is no email address, or no list of them. A template is whatever Alertmanager makes of it.
func checkAddresses(value string, one bool) error {
	if strings.Contains(value, "{{") {
		return nil
	}
	list, err := mail.ParseAddressList(value)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no email address like ann@example.com or Ann <ann@example.com>: %s", value, strings.TrimPrefix(err.Error(), "mail: "))
	case one && len(list) != 1:
		return fmt.Errorf("%q are %d email addresses: write one", value, len(list))
	}
	for _, a := range list {
		switch local, domain := a.Address[:strings.LastIndex(a.Address, "@")], a.Address[strings.LastIndex(a.Address, "@")+1:]; {
		case !ascii(local):
			return fmt.Errorf("%q: Alertmanager cannot send to a name before the @ that is not ASCII", a.Address)
		case !ascii(domain):
			return fmt.Errorf("%q: write the domain in ASCII, as the DNS has it: xn--…", a.Address)
		}
	}
	return nil
}

// encodedAddresses is a list of addresses whose names are ASCII: as it is written, or encoded.
func encodedAddresses(value string) string {
	if ascii(value) || strings.Contains(value, "{{") {
		return value
	}
	list, err := mail.ParseAddressList(value)
	if err != nil {
		return value // check has said so
	}
	var all []string
	for _, a := range list {
		all = append(all, a.String())
	}
	return strings.Join(all, ", ")
}

// addresses are the values of an email channel that hold addresses, by their keys.
func (c *Channel) addresses() map[string]*yaml.Node {
	found := map[string]*yaml.Node{}
	if c.Kind != "email" {
		return found
	}
	for _, setting := range []string{"to", "from"} {
		if n := c.get(setting); n != nil {
			found[setting] = n
		}
	}
	if headers := c.get("headers"); headers != nil && headers.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(headers.Content); i += 2 {
			name := headers.Content[i].Value
			if slices.ContainsFunc(addressHeaders(), func(h string) bool { return strings.EqualFold(h, name) }) {
				found["headers."+name] = headers.Content[i+1]
			}
		}
	}
	return found
}

// encodeAddresses writes the addresses of a channel as encodedAddresses has them.
func (c *Channel) encodeAddresses() {
	for _, n := range c.addresses() {
		n.Value = encodedAddresses(n.Value)
	}
}

// checkAddresses reports the addresses of a channel that are none.
func (c *Channel) checkAddresses(s *Site, key string) error {
	var errs []error
	found := c.addresses()
	for _, name := range sortedKeys(found) {
		if err := checkAddresses(found[name].Value, single(strings.TrimPrefix(name, "headers."))); err != nil {
			errs = append(errs, s.file.Errorf(key+".email."+name, "%v", err))
		}
	}
	return errors.Join(errs...)
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e })
}
