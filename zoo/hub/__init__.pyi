"""What the rest of genzoo uses of this room, each name loaded when it is first used."""

from zoo.hub.addresses import ArchiveAddress as ArchiveAddress
from zoo.hub.addresses import HubAddress as HubAddress
from zoo.hub.addresses import WebAddress as WebAddress
from zoo.hub.addresses import address_of as address_of
from zoo.hub.addresses import is_address as is_address
from zoo.hub.pulling import Pulled as Pulled
from zoo.hub.pulling import cached as cached
from zoo.hub.pulling import local as local
from zoo.hub.pulling import pull as pull
from zoo.hub.pushing import Pushed as Pushed
from zoo.hub.pushing import push as push
from zoo.hub.pushing import stage as stage
from zoo.hub.store import Entry as Entry
from zoo.hub.store import Store as Store
