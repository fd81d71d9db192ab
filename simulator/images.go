package simulator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consignwatch/consignwatch/simulator/quota"
)

const (
	imageQueueSize = 256
	imageShare     = 16 // an image takes this part of Item.ImageBytes on the disk
	fullShare      = 0.6
	trimmedShare   = 0.5
	trimEvery      = 5 * time.Second
)

// image is the image of a published item.
type image struct {
	item  uint64
	bytes int64
}

// queueImages queues the images of published items. When the queue is full, they are dropped.
func (p *Platform) queueImages(all []rowChange) {
	if p.disk == nil {
		return
	}
	for _, n := range all {
		after, isItem := n.after.(Item)
		before, _ := n.before.(Item)
		if !isItem || after.Status != Active || before.Status != Draft {
			continue
		}
		select {
		case p.images <- image{after.ID, after.ImageBytes / imageShare}:
		default:
		}
	}
}

// storeImages stores images until the context ends, and deletes old ones before the disk is full.
func (p *Platform) storeImages(ctx context.Context) {
	ticker := time.NewTicker(trimEvery)
	defer ticker.Stop()
	p.queueInitialImages()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case i := <-p.images:
			if err = p.disk.Store(fmt.Sprintf("%d.jpg", i.item), i.bytes); errors.Is(err, quota.ErrFull) {
				p.emitStoreFailure()
				continue
			}
		case <-ticker.C:
			if used, look := p.disk.Usage(); look != nil {
				err = look
			} else if float64(used.Bytes) > fullShare*float64(p.disk.Size()) && !p.faults.isOn(DiskFilling, 0) {
				err = p.disk.Trim(trimmedShare)
			}
		}
		if err != nil {
			p.config.Logger.Warn("platform: images", "err", err)
		}
	}
}

// queueInitialImages queues the images of some items that are for sale already.
func (p *Platform) queueInitialImages() {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, e := range p.books.Events {
		for _, id := range p.index.forSale.some(e.ID, imageQueueSize/10) {
			if item := p.books.Items.Get(id); item != nil {
				p.queueImages([]rowChange{{before: Item{Status: Draft}, after: *item}})
			}
		}
	}
}

// emitStoreFailure emits that an image did not fit on the disk.
func (p *Platform) emitStoreFailure() {
	p.beginRequest().end(func(em *eventEmitter) {
		src := em.platformSource("worker")
		src.syntheticCall("storage", "object.put", "error")
	})
}
