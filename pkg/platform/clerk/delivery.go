package clerk

import (
	"crypto/rand"

	"github.com/consignwatch/consignwatch/pkg/platform/webhook"
	"github.com/consignwatch/consignwatch/pkg/platform/wire"
)

// envelope is what every webhook has around its data.
type envelope struct {
	Data       any    `json:"data"`
	Attributes object `json:"event_attributes"`
	InstanceID string `json:"instance_id"`
	Object     string `json:"object"`
	Timestamp  int64  `json:"timestamp"`
	Type       string `json:"type"`
}

// tell sends a webhook. It needs the lock.
func (f *Fake) tell(topic string, data any) {
	switch {
	case f.config.WebhookURL == "":
	case f.switches.WebhooksLost:
		f.webhooks["lost"]++
	default:
		f.send(topic, data, f.config.WebhookSecret)
	}
}

func (f *Fake) send(topic string, data any, secret string) {
	body := wire.Marshal(envelope{
		Data: data, Attributes: object{"http_request": object{"client_ip": "192.0.2.1", "user_agent": "Mozilla/5.0"}},
		InstanceID: "ins_fake", Object: "event", Timestamp: f.now().UnixMilli(), Type: topic,
	})
	message := webhook.Svix{Secret: secret, ID: newID("msg"), Topic: topic, Body: body}.Message("clerk", f.config.WebhookURL)
	if err := f.sender.Send(message); err != nil {
		f.webhooks["refused"]++
		return
	}
	f.webhooks["sent"]++
}

// Forge sends a webhook that Clerk did not sign.
func (f *Fake) Forge(topic string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.webhooks["forged"]++
	f.send(topic, object{"object": "user", "id": newID("user")}, rand.Text()[:24])
}

func (f *Fake) attempted(a webhook.Attempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case a.Delivered:
		f.webhooks["delivered"]++
		return
	case a.GivenUp:
		f.webhooks["given_up"]++
	}
	f.webhooks["failed"]++
}
