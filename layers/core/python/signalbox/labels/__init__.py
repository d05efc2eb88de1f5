"""Signal contracts: the documents that say what a probability promises, and the settlement that follows from them."""

from signalbox.labels.contract import (
    CONTRACTS,
    DIR60,
    Barriers,
    ContractHash,
    LabelKind,
    PromisedEvent,
    SettlementRule,
    SideRule,
    SignalContract,
    SignalCost,
    TimeoutRule,
    contract_named,
    parse_contract,
)
from signalbox.labels.errors import ContractDocumentError, LabelError, UnknownContractError

__all__ = [
    "CONTRACTS",
    "DIR60",
    "Barriers",
    "ContractDocumentError",
    "ContractHash",
    "LabelError",
    "LabelKind",
    "PromisedEvent",
    "SettlementRule",
    "SideRule",
    "SignalContract",
    "SignalCost",
    "TimeoutRule",
    "UnknownContractError",
    "contract_named",
    "parse_contract",
]
