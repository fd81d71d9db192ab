package infra

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consignwatch/consignwatch/simulator/emit"
	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/infra/quota"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
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

// Changed queues the images of published items.
func (i *Infra) Changed(_ *world.Books, c *store.Change) {
	for _, n := range c.Rows {
		after, isItem := n.After.(world.Item)
		before, _ := n.Before.(world.Item)
		if isItem && after.Status == world.Active && before.Status == world.Draft {
			i.queueImage(&after)
		}
	}
}

// queueImage queues the image of an item. When the queue is full, it is dropped.
func (i *Infra) queueImage(of *world.Item) {
	select {
	case i.images <- image{of.ID, of.ImageBytes / imageShare}:
	default:
	}
}

// storeImages stores images until the context ends, and deletes old ones before the disk is full.
func (i *Infra) storeImages(ctx context.Context) {
	ticker := time.NewTicker(trimEvery)
	defer ticker.Stop()
	i.queueInitialImages()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case next := <-i.images:
			if err = i.disk.Store(fmt.Sprintf("%d.jpg", next.item), next.bytes); errors.Is(err, quota.ErrFull) {
				i.inflight.Emit(func(em *emit.Emitter) { em.PlatformSource("worker").SyntheticCall("storage", "object.put", "error") })
				continue
			}
		case <-ticker.C:
			if used, look := i.disk.Usage(); look != nil {
				err = look
			} else if float64(used.Bytes) > fullShare*float64(i.disk.Size()) && !i.faults.IsOn(faults.DiskFilling, 0) {
				err = i.disk.Trim(trimmedShare)
			}
		}
		if err != nil {
			i.Logger.Warn("platform: images", "err", err)
		}
	}
}

// queueInitialImages queues the images of some items that are for sale already.
func (i *Infra) queueInitialImages() {
	i.Memory.RLock()
	defer i.Memory.RUnlock()
	for _, e := range i.Books.Events {
		for _, id := range i.Index.ForSale.Some(e.ID, imageQueueSize/10) {
			if item := i.Books.Items.Get(id); item != nil {
				i.queueImage(item)
			}
		}
	}
}
