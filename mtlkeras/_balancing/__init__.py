"""How the tasks are weighed in a training step: what a model keeps of its balancer."""
