"""What is looked up."""

from zoo.registry.lookup import Item as Item
from zoo.registry.lookup import Registry as Registry
from zoo.registry.lookup import installed as installed
