"""Federated training with Flower: each lab's client reads the data of its own lab alone, and only weights leave.

    federated.py server ADDRESS CLIENTS                 averages weights, sees no data
    federated.py client ADDRESS GRPC_URL TABLE          at each lab, beside its node (the token in TARN_TOKEN)

A linear model learns to tell the year from a field of `air_temperature`: how far the warming has come. Odd years
train, even years test.
"""

import os
import sys

import flwr
import tarn
import tarn.torch
import torch
from flwr.client import NumPyClient, start_client
from flwr.server import ServerConfig, start_server
from flwr.server.strategy import FedAvg
from torch.utils.data import DataLoader

ROUNDS, CELLS = 5, 37 * 49


def weighted(results):
    """The mean of the labs' losses, each counted by its samples."""
    total = sum(count for count, _ in results)
    return {"loss": sum(count * metrics["loss"] for count, metrics in results) / total}


def serve(address, clients):
    strategy = FedAvg(
        min_fit_clients=clients,
        min_evaluate_clients=clients,
        min_available_clients=clients,
        evaluate_metrics_aggregation_fn=weighted,
        on_fit_config_fn=lambda number: {"round": number},
    )
    history = start_server(server_address=address, config=ServerConfig(num_rounds=ROUNDS), strategy=strategy)
    losses = [loss for _, loss in history.losses_distributed]
    print(
        f"flower {flwr.__version__}: loss {losses[0]:.4f} → {losses[-1]:.4f} in {len(losses)} rounds of {clients} labs"
    )


class Lab(NumPyClient):
    """A lab: a model, and streams of the lab's own table."""

    def __init__(self, url, table):
        torch.manual_seed(0)
        self.model = torch.nn.Linear(CELLS, 1)
        lake = tarn.connect(url, token=os.environ.get("TARN_TOKEN"))
        self.train = lake.stream(table, filter="year % 2 = 1", batch_size=16, seed=7)
        self.test = lake.stream(table, filter="year % 2 = 0", shuffle=False)

    def get_parameters(self, config):
        return [value.detach().numpy() for value in self.model.parameters()]

    def _take(self, parameters):
        with torch.no_grad():
            for own, value in zip(self.model.parameters(), parameters):
                own.copy_(torch.from_numpy(value))

    def _loss(self, batch):
        fields = ((batch["air_temperature"] - 280) / 20).flatten(1)
        years = ((batch["year"] - 2000) / 100).float().unsqueeze(1)
        return torch.nn.functional.mse_loss(self.model(fields), years)

    def fit(self, parameters, config):
        self._take(parameters)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        dataset = tarn.torch.StreamDataset(self.train)
        dataset.set_epoch(int(config["round"]))
        for batch in DataLoader(dataset, batch_size=None):
            optimizer.zero_grad()
            self._loss(batch).backward()
            optimizer.step()
        receipt = self.train.receipt()
        print(f"epoch {receipt['epoch']}: {receipt['rows']} rows of {receipt['dataset']}", flush=True)
        return self.get_parameters({}), receipt["rows"], {}

    def evaluate(self, parameters, config):
        self._take(parameters)
        with torch.no_grad():
            losses = [(self._loss(batch).item(), len(batch["year"])) for batch in tarn.torch.StreamDataset(self.test)]
        rows = sum(count for _, count in losses)
        loss = sum(loss * count for loss, count in losses) / rows
        return loss, rows, {"loss": loss}


if __name__ == "__main__":
    if sys.argv[1] == "server":
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        start_client(server_address=sys.argv[2], client=Lab(sys.argv[3], sys.argv[4]).to_client())
