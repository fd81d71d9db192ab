package integration

func (b *builder) shopify() error { return nil }
