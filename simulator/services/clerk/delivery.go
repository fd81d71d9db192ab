package clerk

import (
	"github.com/consignwatch/consignwatch/simulator/services/webhook"
	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// sendWebhook sends a webhook, unless too many wait. It needs the lock.
func (f *Fake) sendWebhook(topic string, data any) {
	if f.config.WebhookURL != "" && !f.switches.WebhooksLost {
		_ = f.sender.Send(f.message(topic, data))
	}
}

func (f *Fake) message(topic string, data any) webhook.Message {
	body := wire.Marshal(object{"object": "event", "type": topic, "timestamp": f.now().UnixMilli(), "instance_id": "ins_fake", "data": data})
	return webhook.Svix{Secret: f.config.WebhookSecret, ID: newID("msg"), Body: body}.Message("clerk", f.config.WebhookURL)
}
