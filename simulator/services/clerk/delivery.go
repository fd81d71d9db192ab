package clerk

import (
	"github.com/consignwatch/consignwatch/simulator/services/webhook"
	"github.com/consignwatch/consignwatch/simulator/services/wire"
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

// sendWebhook sends a webhook, unless too many wait. It needs the lock.
func (f *Fake) sendWebhook(topic string, data any) {
	if f.config.WebhookURL != "" && !f.switches.WebhooksLost {
		_ = f.sender.Send(f.message(topic, data))
	}
}

func (f *Fake) message(topic string, data any) webhook.Message {
	body := wire.Marshal(envelope{
		Data: data, Attributes: object{"http_request": object{"client_ip": "192.0.2.1", "user_agent": "Mozilla/5.0"}},
		InstanceID: "ins_fake", Object: "event", Timestamp: f.now().UnixMilli(), Type: topic,
	})
	return webhook.Svix{Secret: f.config.WebhookSecret, ID: newID("msg"), Body: body}.Message("clerk", f.config.WebhookURL)
}
